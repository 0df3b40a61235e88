#include "trainer/config/text_parser.h"

#include <utility>
#include <vector>

#include <fmt/format.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "trainer/config/schema.h"
#include "trainer/config/source.h"

namespace reformer {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::TextFormat;
using google::protobuf::io::ArrayInputStream;
using google::protobuf::io::ErrorCollector;
using google::protobuf::io::Tokenizer;

/// Keeps the first error, and keeps the parser from printing any.
class FirstError : public ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (!message_.empty()) return;
    message_ = message;
    line_ = line;
    column_ = column;
  }
  void AddWarning(int /*line*/, int /*column*/, const std::string& /*message*/) override {}

  const std::string& message() const { return message_; }
  std::pair<int, int> position() const { return {line_, column_}; }

 private:
  std::string message_;
  int line_ = 0;
  int column_ = 0;
};

/// Follows names and braces up to the token at which the parser gave up. The parser reports that
/// place, but not the field that it was in.
class Scan {
 public:
  Scan(const std::string& text, std::pair<int, int> error) {
    ArrayInputStream stream(text.data(), static_cast<int>(text.size()));
    FirstError ignored;
    Tokenizer tokenizer(&stream, &ignored);
    tokenizer.set_comment_style(Tokenizer::SH_COMMENT_STYLE);
    tokenizer.set_require_space_after_number(false);
    while (tokenizer.Next() &&
           std::pair(tokenizer.current().line, tokenizer.current().column) < error)
      take(tokenizer.current());
    at = tokenizer.current();
    if (at.text == "-" && tokenizer.Next()) at.text += tokenizer.current().text;
  }

  std::vector<std::string> messages;  // open ones, outermost first
  Tokenizer::Token field;             // last name of a field in the innermost; no text if none
  Tokenizer::Token before;            // last token before the error
  Tokenizer::Token at;                // the token at the error

  std::string parent() const {
    std::string path;
    for (const std::string& name : messages) path = join_path(path, name);
    return path;
  }
  bool ended() const { return at.type == Tokenizer::TYPE_END; }
  bool after_name() const {
    return std::pair(before.line, before.column) == std::pair(field.line, field.column);
  }
  bool awaits_value() const {
    return before.text == ":" || before.text == "-" ||
           (in_list_ && (before.text == "[" || before.text == ","));
  }

 private:
  void take(const Tokenizer::Token& token) {
    if (token.text == "{" || token.text == "<") {
      messages.push_back(field.text);
      field = {};
    } else if (token.text == "}" || token.text == ">") {
      if (!messages.empty()) messages.pop_back();
      field = {};
    } else if (token.text == "[" || token.text == "]") {
      in_list_ = token.text == "[";
    } else if (token.type == Tokenizer::TYPE_IDENTIFIER && !awaits_value() && !in_list_) {
      field = token;
    }
    before = token;
  }

  bool in_list_ = false;
};

const Descriptor* find_message(const Descriptor* root, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const FieldDescriptor* field = root->FindFieldByName(name);
    root = field == nullptr ? nullptr : field->message_type();
    if (root == nullptr) return nullptr;
  }
  return root;
}

/// Words are read before they are judged, so that the parser stands behind a bad one.
bool is_bad_word(const FieldDescriptor& field, const Tokenizer::Token& token) {
  if (token.type != Tokenizer::TYPE_IDENTIFIER && token.type != Tokenizer::TYPE_INTEGER)
    return false;
  if (field.enum_type() != nullptr) {
    return field.enum_type()->FindValueByName(token.text) == nullptr;
  }
  return field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL && token.text != "true" &&
         token.text != "false";
}

TextFault unknown_field(const Scan& scan, const Descriptor& root, const Descriptor& message) {
  const std::string nearest = suggest_field(root, scan.parent(), scan.field.text);
  return {.line = scan.field.line + 1,
          .path = join_path(scan.parent(), scan.field.text),
          .message = nearest.empty() ? "unknown field"
                                     : fmt::format("unknown field (did you mean {}?)", nearest),
          .legal = list_fields(message)};
}

TextFault bad_value(const Scan& scan, const FieldDescriptor& field, const Tokenizer::Token& value) {
  return {.line = value.line + 1,
          .path = join_path(scan.parent(), scan.field.text),
          .message = value.type == Tokenizer::TYPE_END ? "a value is missing"
                                                       : fmt::format("bad value {}", value.text),
          .legal = describe_legal_values(field)};
}

TextFault syntax_error(const Scan& scan, const FirstError& error) {
  TextFault fault{.line = error.position().first + 1,
                  .path = join_path(scan.parent(), scan.field.text),
                  .message = error.message(),
                  .legal = "NAME: VALUE or NAME { ... }"};
  if (fault.message.ends_with('.')) fault.message.pop_back();
  if (scan.ended() && !scan.messages.empty()) {
    fault.path = scan.parent();
    fault.message = "the file ends inside this message";
    fault.legal = "}";
  }
  return fault;
}

TextFault explain(const std::string& text, const Descriptor* root, const FirstError& error) {
  const Scan scan(text, error.position());
  // The parser points at the start of a token; what points elsewhere is not even a token.
  const bool is_token = std::pair(scan.at.line, scan.at.column) == error.position();
  const Descriptor* message = find_message(root, scan.messages);
  if (!is_token || message == nullptr || scan.field.text.empty()) return syntax_error(scan, error);
  const FieldDescriptor* field = message->FindFieldByName(scan.field.text);
  if (field == nullptr) return unknown_field(scan, *root, *message);
  if (scan.after_name() && (scan.at.text == ":" || scan.at.text == "{" || scan.at.text == "<")) {
    return {.line = scan.field.line + 1,
            .path = join_path(scan.parent(), scan.field.text),
            .message = "given twice",
            .legal = "once"};
  }
  if (scan.awaits_value()) return bad_value(scan, *field, scan.at);
  if (is_bad_word(*field, scan.before)) return bad_value(scan, *field, scan.before);
  return syntax_error(scan, error);
}

}  // namespace

std::optional<TextFault> parse_text(const std::string& text, google::protobuf::Message& message,
                                    TextFormat::ParseInfoTree* locations) {
  FirstError error;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.WriteLocationsTo(locations);
  if (parser.ParseFromString(text, &message)) return std::nullopt;
  return explain(text, message.GetDescriptor(), error);
}

void fail_at(const std::string& name, const TextFault& fault) {
  std::string where = fmt::format("{}:{}", name, fault.line);
  if (!fault.path.empty()) where += ": " + fault.path;
  throw_config_error(where, fault.message, fault.legal);
}

}  // namespace reformer
