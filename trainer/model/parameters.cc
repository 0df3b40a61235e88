#include "trainer/model/parameters.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "kernels/core/philox.h"

namespace reformer {
namespace {

// Tokens and positions weigh the same after the first LayerNorm, or attention is slow to find
// neighbours.
constexpr float kTokenDeviation = 0.2f;
constexpr float kPositionDeviation = 0.2f;

float inverse_sqrt(int64_t n) {
  return 1.0f / std::sqrt(static_cast<float>(n));
}

/// Calls visit(part, name, slot, shape, mean, deviation) for every parameter in the order of the
/// flat buffer, `slot` being its place in `tensors`. The one list that layout and binding share.
template <typename Visit>
void for_each_parameter(const ModelSpec& spec, ModelTensors& tensors, const Visit& visit) {
  const int64_t width = spec.width;
  const auto layers = static_cast<int64_t>(spec.layers.size());
  // The 2·layers block outputs add up in the streams.
  const float residual = inverse_sqrt(2 * layers);

  visit(kEmbeddingPart, "embedding.tokens", tensors.embedding.table, Shape{spec.vocabulary, width},
        0.0f, kTokenDeviation);
  tensors.embedding.axes.resize(spec.position_axes.size());
  for (size_t axis = 0; axis < spec.position_axes.size(); ++axis) {
    const PositionAxis& extent = spec.position_axes[axis];
    visit(kEmbeddingPart, fmt::format("embedding.positions.{}", axis), tensors.embedding.axes[axis],
          Shape{extent.extent, extent.width}, 0.0f, kPositionDeviation);
  }

  tensors.attention.resize(spec.layers.size());
  tensors.feed_forward.resize(spec.layers.size());
  for (size_t layer = 0; layer < spec.layers.size(); ++layer) {
    const auto part = static_cast<int>(layer);
    const AttentionPattern& pattern = spec.layers[layer].attention;
    const int64_t inner = pattern.heads * pattern.head_dim;
    AttentionTensors& attention = tensors.attention[layer];
    const std::string a = fmt::format("layers.{}.attention.", layer);
    visit(part, a + "norm.gamma", attention.norm_gamma, Shape{width}, 1.0f, 0.0f);
    visit(part, a + "norm.beta", attention.norm_beta, Shape{width}, 0.0f, 0.0f);
    const bool shared = has_shared_query_key(pattern.kind);
    visit(part, a + (shared ? "query_key.weight" : "query.weight"), attention.query,
          Shape{width, inner}, 0.0f, inverse_sqrt(width));
    if (!shared) {
      visit(part, a + "key.weight", attention.key, Shape{width, inner}, 0.0f, inverse_sqrt(width));
    }
    visit(part, a + "value.weight", attention.value, Shape{width, inner}, 0.0f,
          inverse_sqrt(width));
    visit(part, a + "output.weight", attention.output, Shape{inner, width}, 0.0f,
          residual * inverse_sqrt(inner));

    FeedForwardTensors& feed_forward = tensors.feed_forward[layer];
    const std::string f = fmt::format("layers.{}.feed_forward.", layer);
    visit(part, f + "norm.gamma", feed_forward.norm_gamma, Shape{width}, 1.0f, 0.0f);
    visit(part, f + "norm.beta", feed_forward.norm_beta, Shape{width}, 0.0f, 0.0f);
    visit(part, f + "expand.weight", feed_forward.expand, Shape{width, spec.ff_width}, 0.0f,
          inverse_sqrt(width));
    visit(part, f + "expand.bias", feed_forward.expand_bias, Shape{spec.ff_width}, 0.0f, 0.0f);
    visit(part, f + "contract.weight", feed_forward.contract, Shape{spec.ff_width, width}, 0.0f,
          residual * inverse_sqrt(spec.ff_width));
    visit(part, f + "contract.bias", feed_forward.contract_bias, Shape{width}, 0.0f, 0.0f);
  }

  visit(spec.head_part(), "head.norm.gamma", tensors.head.norm_gamma, Shape{2 * width}, 1.0f, 0.0f);
  visit(spec.head_part(), "head.norm.beta", tensors.head.norm_beta, Shape{2 * width}, 0.0f, 0.0f);
  visit(spec.head_part(), "head.weight", tensors.head.weight, Shape{2 * width, spec.vocabulary},
        0.0f, inverse_sqrt(2 * width));
  visit(spec.head_part(), "head.bias", tensors.head.bias, Shape{spec.vocabulary}, 0.0f, 0.0f);
}

int64_t aligned(int64_t elements) {
  return (elements + kParameterAlignment - 1) / kParameterAlignment * kParameterAlignment;
}

}  // namespace

std::vector<ParameterInfo> list_parameters(const ModelSpec& spec) {
  std::vector<ParameterInfo> parameters;
  ModelTensors unused;
  int64_t offset = 0;
  for_each_parameter(spec, unused,
                     [&](int part, const std::string& name, View&, const Shape& shape, float mean,
                         float deviation) {
                       parameters.push_back({name, part, shape, offset, mean, deviation});
                       offset += aligned(shape.elements());
                     });
  return parameters;
}

int64_t flat_elements(const ModelSpec& spec) {
  const ParameterInfo last = list_parameters(spec).back();
  return last.offset + aligned(last.shape.elements());
}

int64_t parameter_count(const ModelSpec& spec) {
  int64_t count = 0;
  for (const ParameterInfo& parameter : list_parameters(spec)) count += parameter.shape.elements();
  return count;
}

ModelTensors bind_parameters(const ModelSpec& spec, const View& flat) {
  ModelTensors tensors;
  int64_t offset = 0;
  for_each_parameter(spec, tensors,
                     [&](int, const std::string&, View& slot, const Shape& shape, float, float) {
                       slot = flat.rows(offset, offset + shape.elements()).reshape(shape);
                       offset += aligned(shape.elements());
                     });
  CHECK_EQ(offset, flat.elements());
  return tensors;
}

Tensor initial_values(const ParameterInfo& parameter, uint32_t index, uint64_t seed) {
  Tensor values(DType::kFloat32, parameter.shape);
  float* const value = values.data<float>();
  const int64_t count = values.elements();
  std::fill(value, value + count, parameter.mean);
  if (parameter.deviation == 0) return values;
  const PhiloxKey key = make_key(seed, RandomUse::kInitialization, 0, index);
  for (int64_t begin = 0; begin < count; begin += 4) {
    const int64_t block = begin / 4;
    const std::array<float, 4> normals = normal_quad(
        philox(key, {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), 0, 0}));
    for (int64_t i = begin; i < std::min(begin + 4, count); ++i) {
      value[i] += parameter.deviation * normals[static_cast<size_t>(i - begin)];
    }
  }
  return values;
}

}  // namespace reformer
