// Where the values of a configuration were written, so that an error can point there.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include <google/protobuf/text_format.h>

namespace reformer {

class Source {
 public:
  /// `name` is the file as messages name it.
  explicit Source(std::string name) : name_(std::move(name)) {}

  /// Filled by the parser.
  google::protobuf::TextFormat::ParseInfoTree& locations() { return locations_; }

  /// Notes that the command line has set `path` by `--set argument`.
  void add_override(std::string path, std::string argument) {
    overrides_.push_back({std::move(path), std::move(argument)});
  }

  /// Throws ConfigError in one line: "file:line: path: message, legal: legal", or, when the value
  /// comes from the command line, "--set argument: message, legal: legal". `path` may end in the
  /// index of an element: "model.lsh.buckets[1]". An empty `legal` is left out.
  [[noreturn]] void fail(const std::string& path, const std::string& message,
                         const std::string& legal) const;

  /// The same for values that contradict each other: points at the first of `paths` that the
  /// command line has set, or else that the file gives. REQUIRES: `paths` is not empty.
  [[noreturn]] void fail(std::initializer_list<std::string> paths, const std::string& message,
                         const std::string& legal) const;

 private:
  struct Override {
    std::string path;
    std::string argument;
  };

  const Override* find_override(const std::string& path) const;
  /// Line of the file, from 1, or 0.
  int line_of(const std::string& path) const;

  std::string name_;
  google::protobuf::TextFormat::ParseInfoTree locations_;
  std::vector<Override> overrides_;
};

/// Throws ConfigError "where: message, legal: legal", on one line whatever the parts hold. An empty
/// `legal` is left out.
[[noreturn]] void throw_config_error(const std::string& where, const std::string& message,
                                     const std::string& legal);

}  // namespace reformer
