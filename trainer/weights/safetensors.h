// The safetensors format of Hugging Face: eight bytes of length, a JSON header with name, dtype,
// shape and place of every tensor, then their little-endian elements.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernels/core/view.h"
#include "trainer/data/mapped_file.h"
#include "trainer/weights/tensor_file.h"

namespace reformer {

/// A file opened for reading. Its header is checked before use: every tensor lies in the file and
/// has as many bytes as its shape takes.
class SafetensorsFile final : public TensorFile {
 public:
  /// Throws DataError, naming the file and the tensor, when it is missing or damaged.
  explicit SafetensorsFile(const std::string& path);

 private:
  std::span<const uint8_t> elements_of(const std::string& name, const Entry& entry) const override;

  MappedFile file_;
};

/// A tensor to be written.
struct StoredTensor {
  std::string name;
  Tensor values;  // Float32
};

/// Writes a whole file, beside `path` first and then in its place. Throws DataError when it cannot.
void write_safetensors(const std::string& path, const std::vector<StoredTensor>& tensors);

}  // namespace reformer
