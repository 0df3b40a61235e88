// A file as read-only memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace reformer {

class MappedFile {
 public:
  /// Throws DataError, naming the file, when it is missing, no regular file, unreadable or empty.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const uint8_t> bytes() const { return {data_, size_}; }

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace reformer
