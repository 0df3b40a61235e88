#include "trainer/config/limits.h"

#include <cmath>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "trainer/config/schema.h"

namespace reformer {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

struct Number {
  double value = 0;
  std::string text;
};

/// Value of a numeric field; `index` is used if it is repeated.
Number read_number(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
    const double value = field.is_repeated() ? reflection.GetRepeatedDouble(message, &field, index)
                                             : reflection.GetDouble(message, &field);
    return {.value = value, .text = fmt::format("{}", value)};
  }
  const int64_t value = field.is_repeated() ? reflection.GetRepeatedInt64(message, &field, index)
                                            : reflection.GetInt64(message, &field);
  return {.value = static_cast<double>(value), .text = fmt::format("{}", value)};
}

bool within(double value, const config::Limits& limits) {
  if (!std::isfinite(value)) return false;
  if (limits.has_min() && (limits.above_min() ? value <= limits.min() : value < limits.min())) {
    return false;
  }
  return !limits.has_max() || (limits.below_max() ? value < limits.max() : value <= limits.max());
}

void check_number(const Number& number, const FieldDescriptor& field, const std::string& path,
                  const Source& source) {
  if (within(number.value, field.options().GetExtension(config::limits))) return;
  source.fail(path, number.text + " is out of range", describe_legal_values(field));
}

void check_field(const Message& message, const FieldDescriptor& field, const std::string& path,
                 const Source& source) {
  if (!field.is_repeated()) {
    check_number(read_number(message, field, 0), field, path, source);
    return;
  }
  const int size = message.GetReflection()->FieldSize(message, &field);
  for (int i = 0; i < size; ++i) {
    check_number(read_number(message, field, i), field, fmt::format("{}[{}]", path, i), source);
  }
}

void check_message(const Message& message, const std::string& prefix, const Source& source) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string path = join_path(prefix, field->name());
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        check_message(reflection.GetMessage(message, field), path, source);
        break;
      case FieldDescriptor::CPPTYPE_INT64:
      case FieldDescriptor::CPPTYPE_DOUBLE:
        check_field(message, *field, path, source);
        break;
      default:
        break;
    }
  }
}

}  // namespace

void check_limits(const config::Run& run, const Source& source) {
  check_message(run, "", source);
}

}  // namespace reformer
