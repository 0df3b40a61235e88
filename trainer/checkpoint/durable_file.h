// Files that are on the disk when a call returns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace reformer {

/// Throws the exception of a fault: "cannot write a/b: No space left on device".
using ThrowFault = void (*)(const std::string& what);

/// As CheckpointError.
void throw_checkpoint_fault(const std::string& what);

/// A new file, written from start to end.
class DurableFile {
 public:
  /// Throws by `fault`, as all members do, naming the file and the system's reason.
  explicit DurableFile(const std::string& path, ThrowFault fault = throw_checkpoint_fault);
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  void write(const void* data, size_t bytes);
  int64_t size() const { return size_; }

  /// Puts other bytes in the place of some that were written.
  void overwrite(int64_t offset, const void* data, size_t bytes);

  /// Waits until everything written is on the disk, and closes the file.
  void close();

 private:
  [[noreturn]] void fail(const char* action) const;

  std::string path_;
  ThrowFault fault_;
  int fd_;
  int64_t size_ = 0;
};

/// Waits until the names in a directory are on the disk.
void sync_directory(const std::string& path, ThrowFault fault = throw_checkpoint_fault);

/// CRC32C (Castagnoli) of `bytes` bytes.
uint32_t crc32c(const void* data, size_t bytes);

}  // namespace reformer
