#include "trainer/run_directory.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include "kernels/core/errors.h"

namespace reformer {

namespace fs = std::filesystem;

std::string RunDirectory::flight_record(int rank) const {
  return fmt::format("{}/rank-{:05d}", flight_records(), rank);
}

std::vector<std::string> list_flight_records(const RunDirectory& directory) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator entry(directory.flight_records(), error);
       !error && entry != fs::directory_iterator(); entry.increment(error)) {
    files.push_back(entry->path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

RunLock::RunLock(const RunDirectory& directory) {
  std::error_code error;
  fs::create_directories(directory.checkpoints(), error);
  if (error) {
    throw DataError(
        fmt::format("{}: cannot create the run directory: {}", directory.path, error.message()));
  }
  const std::string path = directory.path + "/.lock";
  fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) throw DataError(fmt::format("{}: cannot open: {}", path, std::strerror(errno)));
  if (flock(fd_, LOCK_EX | LOCK_NB) == 0) {
    for (const std::string& file : list_flight_records(directory)) fs::remove(file, error);
    return;
  }
  const int reason = errno;
  close(fd_);
  throw DataError(reason == EWOULDBLOCK
                      ? fmt::format("{}: another process is training there", directory.path)
                      : fmt::format("{}: cannot lock: {}", path, std::strerror(reason)));
}

RunLock::~RunLock() {
  close(fd_);
}

}  // namespace reformer
