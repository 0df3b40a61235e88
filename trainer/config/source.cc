#include "trainer/config/source.h"

#include <algorithm>
#include <cctype>
#include <ranges>

#include <fmt/format.h>

#include "kernels/core/check.h"
#include "kernels/core/errors.h"
#include "trainer/config/schema.h"

namespace reformer {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::TextFormat;

struct IndexedPath {
  std::string path;
  int index = -1;  // of an element; -1: the field itself
};

IndexedPath split_index(const std::string& path) {
  if (!path.ends_with(']')) return {.path = path};
  const size_t bracket = path.rfind('[');
  CHECK(bracket != std::string::npos);
  return {.path = path.substr(0, bracket), .index = std::stoi(path.substr(bracket + 1))};
}

}  // namespace

const Source::Override* Source::find_override(const std::string& path) const {
  const std::string field = split_index(path).path;
  for (const Override& override : std::views::reverse(overrides_)) {
    if (field == override.path || field.starts_with(override.path + ".")) return &override;
  }
  return nullptr;
}

int Source::line_of(const std::string& path) const {
  const auto [field_path, index] = split_index(path);
  const std::vector<const FieldDescriptor*> fields = find_fields(field_path);
  CHECK(!fields.empty());
  const TextFormat::ParseInfoTree* tree = &locations_;
  for (size_t i = 0; i + 1 < fields.size(); ++i) {
    tree = tree->GetTreeForNested(fields[i], -1);
    if (tree == nullptr) return 0;
  }
  if (!fields.back()->is_repeated()) return tree->GetLocation(fields.back(), -1).line + 1;
  // Of a list in brackets the parser notes one place for all elements.
  const int line = tree->GetLocation(fields.back(), std::max(index, 0)).line;
  return (line >= 0 ? line : tree->GetLocation(fields.back(), 0).line) + 1;
}

void Source::fail(const std::string& path, const std::string& message,
                  const std::string& legal) const {
  if (const Override* override = find_override(path)) {
    throw_config_error("--set " + override->argument, message, legal);
  }
  const int line = line_of(path);
  const std::string where = line > 0 ? fmt::format("{}:{}", name_, line) : name_;
  throw_config_error(where + ": " + path, message, legal);
}

void Source::fail(std::initializer_list<std::string> paths, const std::string& message,
                  const std::string& legal) const {
  CHECK(paths.size() > 0);
  for (const std::string& path : paths) {
    if (find_override(path) != nullptr) fail(path, message, legal);
  }
  for (const std::string& path : paths) {
    if (line_of(path) > 0) fail(path, message, legal);
  }
  fail(*paths.begin(), message, legal);
}

void throw_config_error(const std::string& where, const std::string& message,
                        const std::string& legal) {
  std::string line = where + ": " + message;
  if (!legal.empty()) line += ", legal: " + legal;
  const auto is_control = [](char c) { return std::iscntrl(static_cast<unsigned char>(c)) != 0; };
  std::ranges::replace_if(line, is_control, '?');
  throw ConfigError(line);
}

}  // namespace reformer
