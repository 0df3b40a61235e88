#include "trainer/checkpoint/durable_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include <fcntl.h>
#include <fmt/format.h>
#include <isa-l/crc.h>
#include <unistd.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

[[noreturn]] void fail(const std::string& path, const char* action) {
  throw CheckpointError(
      fmt::format("checkpoint: cannot {} {}: {}", action, path, std::strerror(errno)));
}

}  // namespace

DurableFile::DurableFile(const std::string& path)
    : path_(path), fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) {
  if (fd_ < 0) fail(path_, "create");
}

DurableFile::~DurableFile() {
  if (fd_ >= 0) ::close(fd_);
}

void DurableFile::write(const void* data, size_t bytes) {
  const auto* next = static_cast<const std::byte*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(fd_, next, bytes);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail(path_, "write");
    }
    next += written;
    bytes -= static_cast<size_t>(written);
    size_ += written;
  }
}

void DurableFile::close() {
  if (fsync(fd_) != 0) fail(path_, "sync");
  const int status = ::close(fd_);
  fd_ = -1;
  if (status != 0) fail(path_, "close");
}

void sync_directory(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail(path, "open");
  const int status = fsync(fd);
  ::close(fd);
  if (status != 0) fail(path, "sync");
}

uint32_t crc32c(const void* data, size_t bytes) {
  constexpr size_t kMost = std::numeric_limits<int>::max();
  // The library takes the bits inverted and wants a pointer that is not const.
  auto* next = const_cast<unsigned char*>(static_cast<const unsigned char*>(data));
  uint32_t crc = ~0u;
  while (bytes > 0) {
    const size_t part = std::min(bytes, kMost);
    crc = crc32_iscsi(next, static_cast<int>(part), crc);
    next += part;
    bytes -= part;
  }
  return ~crc;
}

}  // namespace reformer
