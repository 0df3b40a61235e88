// What the descriptors of configs/run.proto say about fields: which exist, which values are legal,
// and how they are reached by a path such as "model.lsh.buckets".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "configs/run.pb.h"

namespace reformer {

/// Descriptors from the top of config::Run down to the field that `path` names; empty if one of the
/// names is unknown.
std::vector<const google::protobuf::FieldDescriptor*> find_fields(std::string_view path);

/// "model.lsh" and "rounds" → "model.lsh.rounds"; an empty parent adds nothing.
std::string join_path(const std::string& parent, const std::string& name);

/// True when the field was given a value, or at least one element. REQUIRES: `path` exists.
bool is_set(const config::Run& run, std::string_view path);

/// Makes the field as if it had been left out. REQUIRES: `path` exists.
void clear_field(config::Run& run, std::string_view path);

/// The message that holds the last of `fields`, created if absent. REQUIRES: `fields` is not empty.
google::protobuf::Message& mutable_parent(
    config::Run& run, const std::vector<const google::protobuf::FieldDescriptor*>& fields);

/// Legal values of one element of a field in words: "whole numbers from 1 to 1024", "LSH, LOCAL".
std::string describe_legal_values(const google::protobuf::FieldDescriptor& field);

/// Names of the fields of a message: "width, heads, …".
std::string list_fields(const google::protobuf::Descriptor& message);

/// Path of the field of `root` most like the unknown name `name` in its message `parent` ("" is the
/// top): one with few letters changed, or of equal name elsewhere. Empty if none is alike.
std::string suggest_field(const google::protobuf::Descriptor& root, const std::string& parent,
                          const std::string& name);

}  // namespace reformer
