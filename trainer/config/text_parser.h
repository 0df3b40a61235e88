// Reads Protobuf text format and says what is wrong with it in the terms of the schema.
#pragma once

#include <optional>
#include <string>

#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

namespace reformer {

/// The first fault of a text.
struct TextFault {
  int line = 0;      // from 1
  std::string path;  // of the field, from the top of the message; empty if it belongs to none
  std::string message;
  std::string legal;  // may be empty
};

/// Parses `text` into the empty `message`; its fields' places are written to `locations` unless
/// that is null. Nothing is printed. After a fault `message` holds an unspecified part of the text.
std::optional<TextFault> parse_text(const std::string& text, google::protobuf::Message& message,
                                    google::protobuf::TextFormat::ParseInfoTree* locations);

/// Throws ConfigError in one line: "name:line: path: message, legal: legal".
[[noreturn]] void fail_at(const std::string& name, const TextFault& fault);

}  // namespace reformer
