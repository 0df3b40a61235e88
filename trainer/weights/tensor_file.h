// Tensors by name in a file that another program wrote.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "kernels/core/shape.h"
#include "kernels/core/view.h"

namespace reformer {

/// Bytes of one element of a stored dtype: F64, F32, F16, BF16, I64, I32, U8 or BOOL; 0 for
/// another.
size_t size_of_stored(const std::string& dtype);

class TensorFile {
 public:
  virtual ~TensorFile() = default;
  TensorFile(const TensorFile&) = delete;
  TensorFile& operator=(const TensorFile&) = delete;

  const std::string& path() const { return path_; }

  /// In alphabetical order.
  std::vector<std::string> names() const;
  bool has(const std::string& name) const { return entries_.count(name) > 0; }
  /// Throws DataError when there is no such tensor.
  const Shape& shape_of(const std::string& name) const { return find(name).shape; }

  /// The tensor in host memory as `dtype`: F64, F32, F16 and BF16 as Float32 or Float64, rounded
  /// where need be; I64, I32, U8 and BOOL as Int64, Int32 or Uint8, if every value fits. Throws
  /// DataError for anything else. Not for several threads at once.
  Tensor read(const std::string& name, DType dtype) const;

 protected:
  struct Entry {
    std::string dtype;
    Shape shape;
    size_t begin = 0;  // bytes, from where the kind of file has its tensors
    size_t end = 0;
  };

  explicit TensorFile(std::string path) : path_(std::move(path)) {}

  void add(const std::string& name, Entry entry) { entries_[name] = std::move(entry); }

  /// The shape with the extents that a file gives tensor `name`. Throws DataError when it has too
  /// many dimensions, a negative extent, or more elements than any file.
  Shape checked_shape(const std::string& name, std::span<const int64_t> extents) const;

  /// Throws DataError, naming the file, in one line.
  [[noreturn]] void fail(std::string message) const;

 private:
  /// The elements, one after the other, little-endian; valid until the next call. They are exactly
  /// as many as the shape has. Throws DataError.
  virtual std::span<const uint8_t> elements_of(const std::string& name,
                                               const Entry& entry) const = 0;

  const Entry& find(const std::string& name) const;

  std::string path_;
  std::map<std::string, Entry> entries_;
};

}  // namespace reformer
