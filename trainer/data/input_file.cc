#include "trainer/data/input_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "kernels/core/errors.h"

namespace reformer {

InputFile::InputFile(const std::string& path, const std::atomic<bool>* stop)
    : path_(path), stop_(stop) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    throw DataError(fmt::format("{}: is a directory, not a file", path));
  }
  fd_ = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd_ < 0) fail(errno);
}

InputFile::~InputFile() {
  close(fd_);
}

std::optional<size_t> InputFile::read(std::span<char> buffer) {
  constexpr int kWaitMs = 200;  // a signal between the look at `stop` and the wait ends no wait
  size_t done = 0;
  while (done < buffer.size()) {
    if (is_stopped()) return std::nullopt;
    pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
    const int ready = poll(&waiting, 1, kWaitMs);
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    if (ready < 0) fail(errno);
    const ssize_t got = ::read(fd_, buffer.data() + done, buffer.size() - done);
    if (got < 0 && errno != EINTR && errno != EAGAIN) fail(errno);
    if (got == 0) break;
    if (got > 0) done += static_cast<size_t>(got);
  }
  return done;
}

void InputFile::fail(int error) const {
  throw DataError(fmt::format("{}: {}", path_, std::strerror(error)));
}

}  // namespace reformer
