#include "trainer/appending_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer {

AppendingFile::AppendingFile(const std::string& path)
    : path_(path), file_(std::fopen(path.c_str(), "ab")) {
  if (!file_) {
    throw DataError(fmt::format("{}: cannot open for writing: {}", path, std::strerror(errno)));
  }
  std::error_code error;
  size_ = std::filesystem::file_size(path, error);  // a device has none
  if (error) {
    throw DataError(fmt::format("{}: is no file that can grow: {}", path, error.message()));
  }
}

bool AppendingFile::append(std::string_view record) {
  if (std::fwrite(record.data(), 1, record.size(), file_.get()) == record.size() &&
      std::fflush(file_.get()) == 0) {
    size_ += record.size();
    return true;
  }
  std::clearerr(file_.get());
  std::error_code ignored;
  std::filesystem::resize_file(path_, size_, ignored);
  return false;
}

}  // namespace reformer
