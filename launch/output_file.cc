#include "launch/output_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

void write(const std::string& path, const std::string& text, std::ios::openmode mode) {
  std::ofstream file(path, mode);
  file << text << std::flush;
  if (!file) throw DataError(fmt::format("cannot write {}: {}", path, std::strerror(errno)));
}

}  // namespace

void write_file(const std::string& path, const std::string& text) {
  write(path, text, std::ios::trunc);
}

void require_writable(const std::string& path) {
  write(path, "", std::ios::app);
}

}  // namespace reformer
