// Settings in a JSON file of another program, with its defaults and our limits.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <nlohmann/json.hpp>

namespace reformer {

/// Values by key. Every fault is a ConfigError in one line: file, key, value, what is wrong and
/// what is legal. `path` is the field of run.proto whose limits hold for a number.
class JsonSettings {
 public:
  /// `name` stands for the file in messages. Throws unless `text` is one JSON object.
  JsonSettings(const std::string& text, const std::string& name);

  /// nullptr when the file leaves it out.
  const nlohmann::json* find(const std::string& key);

  /// The value, or `otherwise` when the file leaves it out.
  int64_t integer(const std::string& key, int64_t otherwise, const std::string& path);
  std::vector<int64_t> integers(const std::string& key, std::vector<int64_t> otherwise,
                                const std::string& path);
  double real(const std::string& key, double otherwise, const std::string& path);
  bool boolean(const std::string& key, bool otherwise);

  /// A value that was found, as a whole number.
  int64_t integer_of(const std::string& key, const nlohmann::json& value,
                     const std::string& path) const;

  /// Refuses every value but `only`; `otherwise` is what the key means when it is left out.
  void require(const std::string& key, const nlohmann::json& otherwise, const nlohmann::json& only,
               const std::string& message);

  [[noreturn]] void refuse(const std::string& key, const std::string& message,
                           const std::string& legal) const;

  /// Keys that nobody has asked for and that are not among `ignored`, a list with spaces.
  std::vector<std::string> unknown_keys(const std::string& ignored) const;

 private:
  double number_within(const std::string& key, const nlohmann::json& value,
                       const google::protobuf::FieldDescriptor& field) const;

  std::string name_;
  nlohmann::json values_;
  std::set<std::string> known_;  // asked for
};

}  // namespace reformer
