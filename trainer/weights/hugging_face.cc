#include "trainer/weights/hugging_face.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

struct Name {
  const char* here;
  const char* there;
};

constexpr const char* kHeadBias = "lm_head.bias";
// The same under the name that it has as a part of the decoder; a file may hold either, or both.
constexpr const char* kHeadBiasAgain = "lm_head.decoder.bias";

constexpr Name kNames[] = {
    {"embedding.tokens", "reformer.embeddings.word_embeddings.weight"},
    {"head.norm.gamma", "reformer.encoder.layer_norm.weight"},
    {"head.norm.beta", "reformer.encoder.layer_norm.bias"},
    {"head.weight", "lm_head.decoder.weight"},
    {"head.bias", kHeadBias},
};

// After "layers.N." here and "reformer.encoder.layers.N." there.
constexpr Name kNamesInLayer[] = {
    {"attention.norm.gamma", "attention.layer_norm.weight"},
    {"attention.norm.beta", "attention.layer_norm.bias"},
    {"attention.query_key.weight", "attention.self_attention.query_key.weight"},
    {"attention.query.weight", "attention.self_attention.query.weight"},
    {"attention.key.weight", "attention.self_attention.key.weight"},
    {"attention.value.weight", "attention.self_attention.value.weight"},
    {"attention.output.weight", "attention.output.dense.weight"},
    {"feed_forward.norm.gamma", "feed_forward.layer_norm.weight"},
    {"feed_forward.norm.beta", "feed_forward.layer_norm.bias"},
    {"feed_forward.expand.weight", "feed_forward.dense.dense.weight"},
    {"feed_forward.expand.bias", "feed_forward.dense.dense.bias"},
    {"feed_forward.contract.weight", "feed_forward.output.dense.weight"},
    {"feed_forward.contract.bias", "feed_forward.output.dense.bias"},
};

template <size_t kCount>
std::string translate(const Name (&names)[kCount], const std::string& here) {
  for (const Name& name : names) {
    if (here == name.here) return name.there;
  }
  CHECK(!"a parameter with a counterpart");
}

std::string text_of(const Shape& shape) {
  std::ostringstream text;
  text << shape;
  return text.str();
}

/// Under which name the file holds what the library now calls `name`.
std::string stored_name(const TensorFile& file, const std::string& prefix,
                        const std::string& name) {
  const bool again =
      name == kHeadBias && !file.has(prefix + name) && file.has(prefix + kHeadBiasAgain);
  return prefix + (again ? kHeadBiasAgain : name);
}

/// The shape is compared first: what a file says does not decide how much memory is taken.
Tensor read_of_shape(const TensorFile& file, const std::string& name, const Shape& shape) {
  if (file.shape_of(name) != shape) {
    throw DataError(fmt::format("{}: {} has the shape {} and the model needs {}", file.path(), name,
                                text_of(file.shape_of(name)), text_of(shape)));
  }
  return file.read(name, DType::kFloat32);
}

/// Numbers that older versions of the library kept beside the weights: what masked scores are.
bool is_constant(const std::string& name) {
  constexpr const char* kConstants[] = {"mask_value_float16", "mask_value_float32",
                                        "self_mask_value_float16", "self_mask_value_float32",
                                        "position_ids"};
  const std::string last = name.substr(name.rfind('.') + 1);
  return std::find(std::begin(kConstants), std::end(kConstants), last) != std::end(kConstants);
}

void copy_transposed(const float* from, int64_t rows, int64_t columns, float* to) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      to[column * rows + row] = from[row * columns + column];
    }
  }
}

/// The number that people write for a Float32: 0.05, not 0.05000000074505806.
double shortest(float value) {
  return std::stod(fmt::format("{}", value));
}

[[noreturn]] void refuse(const std::string& what) {
  throw ConfigError(
      fmt::format("Hugging Face's Reformer has no {}; --format safetensors keeps the "
                  "weights without a promise of what computes with them",
                  what));
}

void add_positions(const ModelSpec& spec, nlohmann::ordered_json& config) {
  const std::vector<PositionAxis>& axes = spec.position_axes;
  if (axes.empty()) refuse("model without positions (model.positions.kind NONE)");
  constexpr size_t kMostAxes = Shape::kMaxRank - 1;
  if (axes.size() > kMostAxes) refuse(fmt::format("positions of more than {} axes", kMostAxes));
  config["axial_pos_embds"] = axes.size() > 1;
  int64_t positions = 1;
  for (const PositionAxis& axis : axes) positions *= axis.extent;
  config["max_position_embeddings"] = positions;
  if (axes.size() == 1) return;
  for (const PositionAxis& axis : axes) {
    config["axial_pos_shape"].push_back(axis.extent);
    config["axial_pos_embds_dim"].push_back(axis.width);
  }
}

void add_layer(const LayerSpec& layer, int index, nlohmann::ordered_json& config) {
  const AttentionPattern& pattern = layer.attention;
  if (!pattern.causal) refuse(fmt::format("bidirectional language model (layer {})", index));
  switch (pattern.kind) {
    case AttentionKind::kLocal:
      config["attn_layers"].push_back("local");
      config["local_attn_chunk_length"] = pattern.chunk_length;
      config["local_num_chunks_before"] = 1;
      config["local_num_chunks_after"] = 0;
      return;
    case AttentionKind::kChunked:
      if (pattern.same_bucket_only) refuse("model.lsh.same_bucket_only");
      if (pattern.correct_duplicates) refuse("model.lsh.correct_duplicates");
      config["attn_layers"].push_back("lsh");
      config["lsh_attn_chunk_length"] = pattern.chunk_length;
      config["lsh_num_chunks_before"] = 1;
      config["lsh_num_chunks_after"] = 0;
      config["num_hashes"] = pattern.rounds;
      config["num_buckets"] = layer.buckets;
      if (layer.buckets.size() == 1) config["num_buckets"] = layer.buckets[0];
      return;
    case AttentionKind::kStrict:
      refuse(fmt::format("LSH STRICT attention (layer {})", index));
    case AttentionKind::kFull:
      refuse(fmt::format("FULL attention (layer {})", index));
  }
}

/// Which of two different biases the library would take depends on its version.
void require_one_head_bias(const TensorFile& file, const std::string& prefix, const Tensor& bias) {
  const std::string name = prefix + kHeadBias;
  const std::string other_name = prefix + kHeadBiasAgain;
  if (!file.has(name) || !file.has(other_name)) return;
  const Tensor other = read_of_shape(file, other_name, bias.shape());
  if (std::equal(bias.data<float>(), bias.data<float>() + bias.elements(), other.data<float>())) {
    return;
  }
  throw DataError(
      fmt::format("{}: {} and {} should be the same and differ", file.path(), name, other_name));
}

}  // namespace

HuggingFaceTensor hugging_face_tensor(const ParameterInfo& parameter, const ModelSpec& spec) {
  const Shape& shape = parameter.shape;
  const bool position = parameter.name.starts_with("embedding.positions.");
  if (position && spec.position_axes.size() == 1) {
    return {.name = "reformer.embeddings.position_embeddings.embedding.weight", .shape = shape};
  }
  if (position) {
    // Of axis a: the extent in dimension a, 1 in those of the other axes, then the width.
    const std::string axis = parameter.name.substr(std::strlen("embedding.positions."));
    std::vector<int64_t> extents(spec.position_axes.size(), 1);
    extents[std::stoul(axis)] = shape[0];
    extents.push_back(shape[1]);
    return {.name = "reformer.embeddings.position_embeddings.weights." + axis,
            .shape = Shape(extents)};
  }
  if (parameter.part == kEmbeddingPart || parameter.part == spec.head_part()) {
    const bool transposed = parameter.name == "head.weight";
    return {.name = translate(kNames, parameter.name),
            .shape = transposed ? Shape{shape[1], shape[0]} : shape,
            .transposed = transposed};
  }
  const std::string prefix = fmt::format("layers.{}.", parameter.part);
  const bool transposed = shape.rank() == 2;
  return {.name = "reformer.encoder." + prefix +
                  translate(kNamesInLayer, parameter.name.substr(prefix.size())),
          .shape = transposed ? Shape{shape[1], shape[0]} : shape,
          .transposed = transposed};
}

std::string hugging_face_config(const ModelSpec& spec) {
  const AttentionPattern& first = spec.layers[0].attention;
  nlohmann::ordered_json config = {
      {"architectures", {"ReformerModelWithLMHead"}},
      {"model_type", "reformer"},
      {"is_decoder", true},
      {"tie_word_embeddings", false},
      {"vocab_size", spec.vocabulary},
      {"hidden_size", spec.width},
      {"feed_forward_size", spec.ff_width},
      {"num_attention_heads", first.heads},
      {"attention_head_size", first.head_dim},
      {"hidden_act", spec.activation == Activation::kRelu ? "relu" : "gelu"},
      {"layer_norm_eps", shortest(spec.layer_norm_epsilon)},
      {"hidden_dropout_prob", shortest(spec.dropout)},
      {"lsh_attention_probs_dropout_prob", shortest(spec.attention_dropout)},
      {"local_attention_probs_dropout_prob", shortest(spec.attention_dropout)}};
  add_positions(spec, config);
  for (size_t layer = 0; layer < spec.layers.size(); ++layer) {
    add_layer(spec.layers[layer], static_cast<int>(layer), config);
  }
  return config.dump(2) + "\n";
}

std::vector<StoredTensor> to_hugging_face(const ModelSpec& spec, const View& flat) {
  std::vector<StoredTensor> tensors;
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    const HuggingFaceTensor there = hugging_face_tensor(parameter, spec);
    StoredTensor stored{.name = there.name, .values = Tensor(DType::kFloat32, there.shape)};
    const View here = parameter.in(flat);
    if (there.transposed) {
      copy_transposed(here.data<float>(), here.shape()[0], here.shape()[1],
                      stored.values.data<float>());
    } else {
      std::memcpy(stored.values.view().raw(), here.raw(), here.bytes());
    }
    tensors.push_back(std::move(stored));
  }
  return tensors;
}

Tensor read_hugging_face(const TensorFile& file, const ModelSpec& spec, const std::string& prefix) {
  Tensor flat(DType::kFloat32, {flat_elements(spec)});
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    const HuggingFaceTensor source = hugging_face_tensor(parameter, spec);
    const std::string name = stored_name(file, prefix, source.name);
    const Tensor values = read_of_shape(file, name, source.shape);
    const float* const value = values.data<float>();
    const bool finite = std::all_of(value, value + values.elements(),
                                    [](float element) { return std::isfinite(element); });
    if (!finite) {
      throw DataError(fmt::format("{}: {} has a value that is not finite", file.path(), name));
    }
    if (source.name == kHeadBias) require_one_head_bias(file, prefix, values);
    float* const destination = parameter.in(flat.view()).data<float>();
    if (source.transposed) {
      copy_transposed(value, source.shape[0], source.shape[1], destination);
    } else {
      std::memcpy(destination, values.view().raw(), values.view().bytes());
    }
  }
  return flat;
}

std::vector<std::string> list_unused(const TensorFile& file, const ModelSpec& spec) {
  std::set<std::string> used = {kHeadBias, kHeadBiasAgain};
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    used.insert(hugging_face_tensor(parameter, spec).name);
  }
  std::vector<std::string> unused;
  for (const std::string& name : file.names()) {
    if (used.count(name) > 0 || is_constant(name)) continue;
    if (name.starts_with("reformer.")) {
      throw DataError(fmt::format("{}: {} has no place in the model", file.path(), name));
    }
    unused.push_back(name);
  }
  return unused;
}

}  // namespace reformer
