#include "trainer/config/schema.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "kernels/core/check.h"

namespace reformer {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::string describe_whole_numbers(const config::Limits& limits) {
  const auto min = static_cast<int64_t>(limits.min());
  if (!limits.has_max()) return fmt::format("whole numbers of at least {}", min);
  return fmt::format("whole numbers from {} to {}", min, static_cast<int64_t>(limits.max()));
}

std::string describe_numbers(const config::Limits& limits) {
  std::string words;
  if (limits.has_min()) {
    words = fmt::format("{} {:g}", limits.above_min() ? "above" : "of at least", limits.min());
  }
  if (limits.has_max()) {
    if (!words.empty()) words += " and ";
    words += fmt::format("{} {:g}", limits.below_max() ? "below" : "at most", limits.max());
  }
  return words.empty() ? "finite numbers" : "numbers " + words;
}

std::string list_values(const EnumDescriptor& type) {
  std::string names;
  for (int i = 0; i < type.value_count(); ++i) {
    if (i > 0) names += ", ";
    names += type.value(i)->name();
  }
  return names;
}

/// Letters to insert, delete, replace or swap with their neighbour to make `b` of `a`.
size_t edit_distance(std::string_view a, std::string_view b) {
  // Row i holds the distances of the first i letters of `a` to every start of `b`.
  std::vector<size_t> before(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    before = std::exchange(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1), last[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row.back();
}

/// Paths of all fields below `message`, messages included.
void collect_paths(const Descriptor& message, const std::string& prefix,
                   std::vector<std::string>* paths) {
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    const std::string path = join_path(prefix, field.name());
    paths->push_back(path);
    if (field.message_type() != nullptr) collect_paths(*field.message_type(), path, paths);
  }
}

}  // namespace

std::vector<const FieldDescriptor*> find_fields(std::string_view path) {
  std::vector<const FieldDescriptor*> fields;
  const Descriptor* message = config::Run::descriptor();
  while (true) {
    const size_t dot = path.find('.');
    const std::string name(path.substr(0, dot));
    const FieldDescriptor* field = message == nullptr ? nullptr : message->FindFieldByName(name);
    if (field == nullptr) return {};
    fields.push_back(field);
    if (dot == std::string_view::npos) return fields;
    message = field->message_type();
    path.remove_prefix(dot + 1);
  }
}

std::string join_path(const std::string& parent, const std::string& name) {
  if (parent.empty() || name.empty()) return parent + name;
  return parent + "." + name;
}

bool is_set(const config::Run& run, std::string_view path) {
  const std::vector<const FieldDescriptor*> fields = find_fields(path);
  CHECK(!fields.empty());
  const Message* message = &run;
  for (const FieldDescriptor* field : fields) {
    const auto* reflection = message->GetReflection();
    if (field->is_repeated()) return reflection->FieldSize(*message, field) > 0;
    if (!reflection->HasField(*message, field)) return false;
    if (field != fields.back()) message = &reflection->GetMessage(*message, field);
  }
  return true;
}

void clear_field(config::Run& run, std::string_view path) {
  if (!is_set(run, path)) return;
  const std::vector<const FieldDescriptor*> fields = find_fields(path);
  Message& parent = mutable_parent(run, fields);
  parent.GetReflection()->ClearField(&parent, fields.back());
}

Message& mutable_parent(config::Run& run, const std::vector<const FieldDescriptor*>& fields) {
  CHECK(!fields.empty());
  Message* message = &run;
  for (size_t i = 0; i + 1 < fields.size(); ++i) {
    message = message->GetReflection()->MutableMessage(message, fields[i]);
  }
  return *message;
}

std::string describe_legal_values(const FieldDescriptor& field) {
  const config::Limits& limits = field.options().GetExtension(config::limits);
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT64:
      return describe_whole_numbers(limits);
    case FieldDescriptor::CPPTYPE_UINT64:
      return fmt::format("whole numbers from 0 to {}", std::numeric_limits<uint64_t>::max());
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return describe_numbers(limits);
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true, false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return list_values(*field.enum_type());
    case FieldDescriptor::CPPTYPE_STRING:
      return "text in quotes";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return fmt::format("{{ }} around any of {}", list_fields(*field.message_type()));
    default:
      break;
  }
  CHECK(!"run.proto has a type of field that the configuration does not know");
  return "";
}

std::string list_fields(const Descriptor& message) {
  std::string names;
  for (int i = 0; i < message.field_count(); ++i) {
    if (i > 0) names += ", ";
    names += message.field(i)->name();
  }
  return names;
}

std::string suggest_field(const google::protobuf::Descriptor& root, const std::string& parent,
                          const std::string& name) {
  std::vector<std::string> paths;
  collect_paths(root, "", &paths);
  std::string best;
  // Half a letter for being in another message, so that a neighbour wins over a stranger.
  size_t best_cost = std::max<size_t>(name.size() / 3, 1) * 2 + 1;
  for (const std::string& path : paths) {
    const size_t dot = path.rfind('.');
    const std::string last = dot == std::string::npos ? path : path.substr(dot + 1);
    const bool elsewhere = path != join_path(parent, last);
    const size_t cost = 2 * edit_distance(name, last) + (elsewhere ? 1 : 0);
    if (cost >= best_cost) continue;
    best = path;
    best_cost = cost;
  }
  return best;
}

}  // namespace reformer
