#include "trainer/config/resolve.h"

#include <filesystem>
#include <span>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernels/core/check.h"
#include "kernels/lsh_layout.h"
#include "trainer/config/applicability.h"
#include "trainer/config/derive.h"
#include "trainer/config/schema.h"

namespace reformer {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

/// Sets a singular field that was left out to its default. REQUIRES: not a message.
void write_default(Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection.SetInt64(&message, &field, field.default_value_int64());
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection.SetUInt64(&message, &field, field.default_value_uint64());
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection.SetDouble(&message, &field, field.default_value_double());
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection.SetBool(&message, &field, field.default_value_bool());
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection.SetEnum(&message, &field, field.default_value_enum());
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection.SetString(&message, &field, field.default_value_string());
    default:
      CHECK(!"run.proto has a type of field that the configuration does not know");
  }
}

/// A range is the one message whose presence means something.
bool is_optional_message(const FieldDescriptor& field) {
  return field.message_type() == config::Range::descriptor();
}

void write_defaults(Message& message) {
  const Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    if (field.is_repeated()) continue;
    const bool given = reflection.HasField(message, &field);
    if (field.message_type() != nullptr) {
      if (given || !is_optional_message(field)) {
        write_defaults(*reflection.MutableMessage(&message, &field));
      }
    } else if (!given) {
      write_default(message, field);
    }
  }
}

template <typename Field>
void assign(Field* field, const std::vector<int64_t>& values) {
  field->Assign(values.begin(), values.end());
}

void derive_positions(config::Model& model) {
  config::Positions& positions = *model.mutable_positions();
  if (positions.kind() != config::Positions::AXIAL) return;
  const bool one_axis = positions.shape_size() == 1 || positions.widths_size() == 1 ||
                        (positions.shape_size() == 0 && model.width() == 1);
  if (positions.shape_size() == 0) {
    assign(positions.mutable_shape(),
           one_axis ? std::vector{model.max_length()} : derive_position_shape(model.max_length()));
  }
  if (positions.widths_size() == 0) {
    assign(positions.mutable_widths(),
           one_axis ? std::vector{model.width()} : derive_position_widths(model.width()));
  }
}

void derive_model(config::Run& run) {
  config::Model& model = *run.mutable_model();
  if (model.head_width() == 0) model.set_head_width(model.width() / model.heads());
  model.set_max_length(max_length_of(run));
  if (model.attention_pattern_size() == 0) model.add_attention_pattern(config::Model::LSH);
  config::Lsh& lsh = *model.mutable_lsh();
  if (lsh.buckets_size() == 0) {
    assign(lsh.mutable_buckets(),
           derive_buckets(lsh.mode(), model.max_length(), lsh.chunk_length()));
  }
  if (lsh.mode() == config::Lsh::STRICT) lsh.clear_same_bucket_only();
  derive_positions(model);
}

void derive_batches(config::Run& run) {
  config::Training& training = *run.mutable_training();
  if (training.micro_batch() == 0) training.set_micro_batch(training.batch());
  config::Evaluation& evaluation = *run.mutable_evaluation();
  if (evaluation.micro_batch() == 0) evaluation.set_micro_batch(training.micro_batch());
}

std::string absolute_path(const std::string& path, const std::string& folder) {
  namespace fs = std::filesystem;
  // The folder is made canonical first: "link/.." is not always where it seems.
  std::error_code error;
  fs::path base = fs::weakly_canonical(folder.empty() ? "." : folder, error);
  if (error) base = fs::absolute(folder);
  return (base / path).lexically_normal().string();
}

LayerSpec lsh_layer(const config::Model& model, AttentionPattern pattern) {
  const config::Lsh& lsh = model.lsh();
  if (model.max_length() <= longest_unhashed(lsh)) {
    pattern.kind = AttentionKind::kFull;
    return {.attention = pattern, .buckets = {}, .too_short_to_hash = model.max_length()};
  }
  pattern.kind =
      lsh.mode() == config::Lsh::STRICT ? AttentionKind::kStrict : AttentionKind::kChunked;
  pattern.rounds = lsh.rounds();
  pattern.chunk_length = lsh.chunk_length();
  pattern.same_bucket_only = lsh.same_bucket_only();
  pattern.correct_duplicates = lsh.correct_duplicates();
  return {.attention = pattern, .buckets = {lsh.buckets().begin(), lsh.buckets().end()}};
}

LayerSpec make_layer(const config::Model& model, int64_t layer) {
  AttentionPattern pattern;
  pattern.causal = !model.lsh().bidirectional();
  pattern.heads = model.heads();
  pattern.head_dim = model.head_width();
  switch (layer_kind(model, layer)) {
    case config::Model::LSH:
      return lsh_layer(model, pattern);
    case config::Model::LOCAL:
      pattern.kind = AttentionKind::kLocal;
      pattern.chunk_length = model.local().chunk_length();
      break;
    case config::Model::FULL:
      pattern.kind = AttentionKind::kFull;
      break;
  }
  return {.attention = pattern, .buckets = {}};
}

std::vector<PositionAxis> make_position_axes(const config::Model& model) {
  const config::Positions& positions = model.positions();
  switch (positions.kind()) {
    case config::Positions::NONE:
      return {};
    case config::Positions::LEARNED:
      return {{.extent = model.max_length(), .width = model.width()}};
    case config::Positions::AXIAL:
      break;
  }
  std::vector<PositionAxis> axes;
  for (int i = 0; i < positions.shape_size(); ++i) {
    axes.push_back({.extent = positions.shape(i), .width = positions.widths(i)});
  }
  return axes;
}

ModelSpec make_spec(const config::Run& run) {
  const config::Model& model = run.model();
  ModelSpec spec{
      .vocabulary = model.vocabulary(),
      .width = model.width(),
      .ff_width = model.ff_width(),
      .max_length = model.max_length(),
      .activation =
          model.activation() == config::Model::RELU ? Activation::kRelu : Activation::kGelu,
      .layer_norm_epsilon = static_cast<float>(model.layer_norm_epsilon()),
      .position_axes = make_position_axes(model),
      .layers = {},
      .dropout = static_cast<float>(model.dropout()),
      .attention_dropout = static_cast<float>(model.attention_dropout()),
      .stream_dtype = model.streams() == config::Model::FIXED32 ? DType::kFixed32 : DType::kFloat32,
      .compute_dtype = run.execution().compute() == config::Execution::BFLOAT16 ? DType::kBFloat16
                                                                                : DType::kFloat32,
      .store_activations = run.execution().activations() == config::Execution::STORE,
      .exact_sums = run.execution().sums() == config::Execution::EXACT,
      .leaf_tokens = run.execution().leaf_tokens()};
  for (int64_t layer = 0; layer < model.layers(); ++layer) {
    spec.layers.push_back(make_layer(model, layer));
  }
  return spec;
}

std::string describe_lsh(const LayerSpec& layer) {
  const AttentionPattern& attention = layer.attention;
  std::string text = fmt::format("LSH {}, {} {}, {} buckets",
                                 attention.kind == AttentionKind::kStrict ? "STRICT" : "CHUNKED",
                                 attention.rounds, attention.rounds == 1 ? "round" : "rounds",
                                 bucket_count(std::span(layer.buckets)));
  if (layer.buckets.size() > 1) text += fmt::format(" ({})", fmt::join(layer.buckets, " x "));
  text += fmt::format(", chunk {}", attention.chunk_length);
  if (attention.same_bucket_only) text += ", same bucket only";
  if (attention.correct_duplicates) text += ", duplicates corrected";
  return text;
}

std::string describe_full(const LayerSpec& layer) {
  if (layer.too_short_to_hash == 0) return "FULL";
  return fmt::format("FULL (asked LSH; {} tokens are too few to hash)", layer.too_short_to_hash);
}

std::string describe_kind(const LayerSpec& layer) {
  switch (layer.attention.kind) {
    case AttentionKind::kStrict:
    case AttentionKind::kChunked:
      return describe_lsh(layer);
    case AttentionKind::kLocal:
      return fmt::format("LOCAL, chunk {}", layer.attention.chunk_length);
    case AttentionKind::kFull:
      return describe_full(layer);
  }
  return "?";
}

}  // namespace

ModelSpec resolve(config::Run& run, const std::string& folder) {
  write_defaults(run);
  derive_model(run);
  derive_batches(run);
  for (const InertField& field : inert_fields(run)) clear_field(run, field.path);
  if (run.data().has_path()) {
    run.mutable_data()->set_path(absolute_path(run.data().path(), folder));
  }
  return make_spec(run);
}

std::string describe_attention(const LayerSpec& layer) {
  return describe_kind(layer) + (layer.attention.causal ? "" : ", bidirectional");
}

}  // namespace reformer
