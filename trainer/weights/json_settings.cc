#include "trainer/weights/json_settings.h"

#include <sstream>

#include <fmt/format.h>

#include "configs/run.pb.h"
#include "trainer/config/schema.h"
#include "trainer/config/source.h"

namespace reformer {

using google::protobuf::FieldDescriptor;
using Json = nlohmann::json;

JsonSettings::JsonSettings(const std::string& text, const std::string& name)
    : name_(name), values_(Json::parse(text, nullptr, /*allow_exceptions=*/false)) {
  if (!values_.is_object()) throw_config_error(name, "is no JSON object", "settings by name");
}

const Json* JsonSettings::find(const std::string& key) {
  known_.insert(key);
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &*found;
}

int64_t JsonSettings::integer(const std::string& key, int64_t otherwise, const std::string& path) {
  const Json* const value = find(key);
  return value == nullptr ? otherwise : integer_of(key, *value, path);
}

std::vector<int64_t> JsonSettings::integers(const std::string& key, std::vector<int64_t> otherwise,
                                            const std::string& path) {
  const Json* const values = find(key);
  if (values == nullptr) return otherwise;
  if (!values->is_array() || values->empty()) refuse(key, "is no list", "a list of numbers");
  std::vector<int64_t> integers;
  for (const Json& value : *values) integers.push_back(integer_of(key, value, path));
  return integers;
}

double JsonSettings::real(const std::string& key, double otherwise, const std::string& path) {
  const Json* const value = find(key);
  if (value == nullptr) return otherwise;
  const FieldDescriptor& field = *find_fields(path).back();
  if (!value->is_number()) refuse(key, "is no number", describe_legal_values(field));
  return number_within(key, *value, field);
}

bool JsonSettings::boolean(const std::string& key, bool otherwise) {
  const Json* const value = find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) refuse(key, "is neither true nor false", "true or false");
  return value->get<bool>();
}

int64_t JsonSettings::integer_of(const std::string& key, const Json& value,
                                 const std::string& path) const {
  const FieldDescriptor& field = *find_fields(path).back();
  if (!value.is_number_integer()) refuse(key, "is no whole number", describe_legal_values(field));
  number_within(key, value, field);
  return value.get<int64_t>();
}

double JsonSettings::number_within(const std::string& key, const Json& value,
                                   const FieldDescriptor& field) const {
  const auto number = value.get<double>();
  const config::Limits& limits = field.options().GetExtension(config::limits);
  const bool legal = number >= limits.min() && number <= limits.max();
  if (!legal) refuse(key, "is out of range", describe_legal_values(field));
  return number;
}

void JsonSettings::require(const std::string& key, const Json& otherwise, const Json& only,
                           const std::string& message) {
  const Json* const value = find(key);
  if ((value == nullptr ? otherwise : *value) != only) refuse(key, message, only.dump());
}

void JsonSettings::refuse(const std::string& key, const std::string& message,
                          const std::string& legal) const {
  constexpr size_t kLongest = 60;
  const auto found = values_.find(key);
  std::string value = found == values_.end() ? "left out" : found->dump();
  if (value.size() > kLongest) value = "…";
  throw_config_error(fmt::format("{}: {} {}", name_, key, value), message, legal);
}

std::vector<std::string> JsonSettings::unknown_keys(const std::string& ignored) const {
  std::set<std::string> known = known_;
  std::istringstream words(ignored);
  for (std::string word; words >> word;) known.insert(word);
  std::vector<std::string> unknown;
  for (const auto& [key, value] : values_.items()) {
    if (known.count(key) == 0) unknown.push_back(key);
  }
  return unknown;
}

}  // namespace reformer
