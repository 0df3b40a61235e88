#include "trainer/config/text_file.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

#include "trainer/config/source.h"

namespace reformer {
namespace {

// More than any configuration, and little enough to refuse a data file before it is read.
constexpr uintmax_t kLargestFile = 1 << 20;

}  // namespace

std::string read_text_file(const std::string& path, const std::string& legal) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    throw_config_error(path, "no such file", legal);
  }
  if (status.type() == fs::file_type::none) {
    throw_config_error(path, "cannot be read: " + error.message(), legal);
  }
  if (fs::is_directory(status)) throw_config_error(path, "is a directory", legal);
  if (!fs::is_regular_file(status)) throw_config_error(path, "is not a file", legal);
  if (fs::file_size(path, error) > kLargestFile && !error) {
    throw_config_error(path, "is larger than 1 MiB", legal);
  }
  std::ifstream stream(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (!stream.is_open() || stream.bad()) {
    throw_config_error(path, fmt::format("cannot be read: {}", std::strerror(errno)), legal);
  }
  return text;
}

}  // namespace reformer
