#include "trainer/config/overrides.h"

#include <memory>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "trainer/config/schema.h"
#include "trainer/config/text_parser.h"

namespace reformer {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

[[noreturn]] void fail(const std::string& argument, const std::string& message,
                       const std::string& legal) {
  throw_config_error("--set " + argument, message, legal);
}

[[noreturn]] void fail_unknown(const std::string& argument, const std::string& path) {
  // Names are checked from the left, so the legal ones are those of the deepest message that
  // exists.
  std::string parent;
  std::string name = path;
  const auto* message = config::Run::descriptor();
  while (true) {
    const size_t dot = name.find('.');
    const FieldDescriptor* field = message->FindFieldByName(name.substr(0, dot));
    if (field == nullptr || dot == std::string::npos) break;
    parent = join_path(parent, field->name());
    if (field->message_type() == nullptr)
      fail(argument, parent + " has no fields", parent + "=VALUE");
    message = field->message_type();
    name = name.substr(dot + 1);
  }
  const std::string nearest =
      suggest_field(*config::Run::descriptor(), parent, name.substr(0, name.find('.')));
  fail(argument,
       nearest.empty() ? "unknown field" : fmt::format("unknown field (did you mean {}?)", nearest),
       list_fields(*message));
}

/// A message like `parent` that holds nothing but `field`. Throws unless `value` is one value of
/// it.
std::unique_ptr<Message> parse_value(const std::string& argument, const std::string& value,
                                     const FieldDescriptor& field, const Message& parent) {
  std::unique_ptr<Message> parsed(parent.New());
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    parsed->GetReflection()->SetString(parsed.get(), &field, value);
    return parsed;
  }
  // Characters that would make the rest a comment, or more than one value.
  const bool single = value.find_first_of("#;\n") == std::string::npos;
  if (single && !parse_text(field.name() + ": " + value, *parsed, nullptr)) {
    std::vector<const FieldDescriptor*> fields;
    parsed->GetReflection()->ListFields(*parsed, &fields);
    if (fields.empty() || (fields.size() == 1 && fields[0] == &field)) return parsed;
  }
  fail(argument, "bad value " + value, describe_legal_values(field));
}

}  // namespace

void apply_override(const std::string& argument, config::Run& run, Source& source) {
  const size_t equals = argument.find('=');
  if (equals == std::string::npos)
    fail(argument, "no value", "FIELD=VALUE, such as model.layers=4");
  const std::string path = argument.substr(0, equals);
  const std::string value = argument.substr(equals + 1);
  const std::vector<const FieldDescriptor*> fields = find_fields(path);
  if (fields.empty()) fail_unknown(argument, path);

  if (value.empty()) {
    clear_field(run, path);
  } else if (fields.back()->message_type() != nullptr) {
    fail(argument, path + " is a message",
         fmt::format("{0}.FIELD=VALUE, FIELD any of {1}", path,
                     list_fields(*fields.back()->message_type())));
  } else {
    Message& parent = mutable_parent(run, fields);
    const std::unique_ptr<Message> parsed = parse_value(argument, value, *fields.back(), parent);
    parent.GetReflection()->ClearField(&parent, fields.back());
    parent.MergeFrom(*parsed);
  }
  source.add_override(path, argument);
}

}  // namespace reformer
