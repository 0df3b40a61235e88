#include "trainer/config/config.h"

#include <filesystem>
#include <optional>

#include <google/protobuf/text_format.h>

#include "kernels/core/check.h"
#include "trainer/config/limits.h"
#include "trainer/config/overrides.h"
#include "trainer/config/resolve.h"
#include "trainer/config/source.h"
#include "trainer/config/text_file.h"
#include "trainer/config/text_parser.h"
#include "trainer/config/validate.h"

namespace reformer {
namespace {

constexpr const char* kLegalFile = "a file in Protobuf text format, such as configs/demo.txtpb";

}  // namespace

RunConfig load_config(const std::string& path, const std::vector<std::string>& overrides) {
  return parse_config(read_text_file(path, kLegalFile), path, overrides);
}

RunConfig parse_config(const std::string& text, const std::string& name,
                       const std::vector<std::string>& overrides) {
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw_config_error(name, "is empty", kLegalFile);
  }
  Source source(name);
  RunConfig config{.run = {}, .model = {}, .path = name};
  if (const std::optional<TextFault> fault = parse_text(text, config.run, &source.locations())) {
    fail_at(name, *fault);
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
