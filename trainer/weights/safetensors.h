// The safetensors format of Hugging Face: eight bytes of length, a JSON header with name, dtype,
// shape and place of every tensor, then their little-endian elements.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kernels/core/shape.h"
#include "kernels/core/view.h"
#include "trainer/data/mapped_file.h"

namespace reformer {

/// A file opened for reading. Its header is checked before use: every tensor lies in the file and
/// has as many bytes as its shape takes.
class SafetensorsFile {
 public:
  /// Throws DataError, naming the file and the tensor, when it is missing or damaged.
  explicit SafetensorsFile(const std::string& path);

  /// In alphabetical order.
  std::vector<std::string> names() const;
  bool has(const std::string& name) const { return entries_.count(name) > 0; }
  /// Throws DataError when there is no such tensor.
  const Shape& shape_of(const std::string& name) const { return find(name).shape; }

  /// The tensor in host memory as `dtype`: F64, F32, F16 and BF16 as Float32 or Float64, rounded
  /// where need be; I64, I32, U8 and BOOL as Int64, Int32 or Uint8, if every value fits. Throws
  /// DataError for anything else.
  Tensor read(const std::string& name, DType dtype) const;

 private:
  struct Entry {
    std::string dtype;
    Shape shape;
    size_t begin = 0;  // bytes in the file
    size_t end = 0;
  };
  const Entry& find(const std::string& name) const;
  [[noreturn]] void fail(const std::string& message) const;

  std::string path_;
  MappedFile file_;
  std::map<std::string, Entry> entries_;
};

/// A tensor to be written.
struct StoredTensor {
  std::string name;
  Tensor values;  // Float32
};

/// Writes a whole file, beside `path` first and then in its place. Throws DataError when it cannot.
void write_safetensors(const std::string& path, const std::vector<StoredTensor>& tensors);

}  // namespace reformer
