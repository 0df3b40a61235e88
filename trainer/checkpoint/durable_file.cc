#include "trainer/checkpoint/durable_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <limits>

#include <fcntl.h>
#include <fmt/format.h>
#include <isa-l/crc.h>
#include <unistd.h>

#include "kernels/core/check.h"
#include "kernels/core/errors.h"

namespace reformer {
namespace {

/// For the fault that errno tells of.
[[noreturn]] void fail(ThrowFault fault, const std::string& path, const char* action) {
  fault(fmt::format("cannot {} {}: {}", action, path, std::strerror(errno)));
  CHECK(!"a ThrowFault that returns");
  std::abort();
}

}  // namespace

void throw_checkpoint_fault(const std::string& what) {
  throw CheckpointError("checkpoint: " + what);
}

DurableFile::DurableFile(const std::string& path, ThrowFault fault)
    : path_(path),
      fault_(fault),
      fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) {
  if (fd_ < 0) fail("create");
}

void DurableFile::fail(const char* action) const {
  reformer::fail(fault_, path_, action);
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
      fail("write");
    }
    next += written;
    bytes -= static_cast<size_t>(written);
    size_ += written;
  }
}

void DurableFile::overwrite(int64_t offset, const void* data, size_t bytes) {
  const auto* next = static_cast<const std::byte*>(data);
  CHECK_LE(offset + static_cast<int64_t>(bytes), size_);
  while (bytes > 0) {
    const ssize_t written = pwrite(fd_, next, bytes, offset);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("write");
    }
    next += written;
    offset += written;
    bytes -= static_cast<size_t>(written);
  }
}

void DurableFile::close() {
  if (fsync(fd_) != 0) fail("sync");
  const int status = ::close(fd_);
  fd_ = -1;
  if (status != 0) fail("close");
}

void sync_directory(const std::string& path, ThrowFault fault) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail(fault, path, "open");
  const int status = fsync(fd);
  ::close(fd);
  if (status != 0) fail(fault, path, "sync");
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
