#include "trainer/config/config.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include <fmt/format.h>
#include <google/protobuf/text_format.h>

#include "kernels/core/check.h"
#include "trainer/config/limits.h"
#include "trainer/config/overrides.h"
#include "trainer/config/resolve.h"
#include "trainer/config/source.h"
#include "trainer/config/text_parser.h"
#include "trainer/config/validate.h"

namespace reformer {
namespace {

constexpr const char* kLegalFile = "a file in Protobuf text format, such as configs/demo.txtpb";

// More than any configuration, and little enough to refuse a data file before it is read.
constexpr uintmax_t kLargestFile = 1 << 20;

std::string read_file(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    throw_config_error(path, "no such file", kLegalFile);
  }
  if (status.type() == fs::file_type::none) {
    throw_config_error(path, "cannot be read: " + error.message(), kLegalFile);
  }
  if (fs::is_directory(status)) throw_config_error(path, "is a directory", kLegalFile);
  if (!fs::is_regular_file(status)) throw_config_error(path, "is not a file", kLegalFile);
  if (fs::file_size(path, error) > kLargestFile && !error) {
    throw_config_error(path, "is larger than 1 MiB", kLegalFile);
  }
  std::ifstream stream(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (!stream.is_open() || stream.bad()) {
    throw_config_error(path, fmt::format("cannot be read: {}", std::strerror(errno)), kLegalFile);
  }
  return text;
}

[[noreturn]] void fail(const std::string& name, const TextFault& fault) {
  std::string where = fmt::format("{}:{}", name, fault.line);
  if (!fault.path.empty()) where += ": " + fault.path;
  throw_config_error(where, fault.message, fault.legal);
}

}  // namespace

RunConfig load_config(const std::string& path, const std::vector<std::string>& overrides) {
  return parse_config(read_file(path), path, overrides);
}

RunConfig parse_config(const std::string& text, const std::string& name,
                       const std::vector<std::string>& overrides) {
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw_config_error(name, "is empty", kLegalFile);
  }
  Source source(name);
  RunConfig config{.run = {}, .model = {}, .path = name};
  if (const std::optional<TextFault> fault = parse_text(text, config.run, &source.locations())) {
    fail(name, *fault);
  }
  for (const std::string& override : overrides) apply_override(override, config.run, source);
  check_limits(config.run, source);
  validate(config.run, source);
  config.model = resolve(config.run, std::filesystem::path(name).parent_path().string());
  return config;
}

std::string to_text(const config::Run& run) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetUseShortRepeatedPrimitives(true);
  std::string text;
  CHECK(printer.PrintToString(run, &text));
  return text;
}

}  // namespace reformer
