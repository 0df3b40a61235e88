// Files that are on the disk when a call returns, with faults as CheckpointError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace reformer {

/// A new file, written from start to end.
class DurableFile {
 public:
  /// Throws CheckpointError, as all members do, naming the file and the system's reason.
  explicit DurableFile(const std::string& path);
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  void write(const void* data, size_t bytes);
  int64_t size() const { return size_; }

  /// Waits until everything written is on the disk, and closes the file.
  void close();

 private:
  std::string path_;
  int fd_;
  int64_t size_ = 0;
};

/// Waits until the names in a directory are on the disk.
void sync_directory(const std::string& path);

/// CRC32C (Castagnoli) of `bytes` bytes.
uint32_t crc32c(const void* data, size_t bytes);

}  // namespace reformer
