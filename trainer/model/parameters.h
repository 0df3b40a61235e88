// The parameters of a model: names, shapes, places in one flat buffer, and initial values.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/core/view.h"
#include "trainer/model/model_spec.h"

namespace reformer {

// The tensors of each block. Bound once to the parameters and once to their gradients, which have
// the same shapes.
struct EmbeddingTensors {
  View table;              // [vocabulary, width]
  std::vector<View> axes;  // [extent, width of the axis] each
};
struct AttentionTensors {
  View norm_gamma;  // [width]
  View norm_beta;   // [width]
  View query;       // [width, H·D]; the shared query-key unless LOCAL
  View key;         // [width, H·D]; LOCAL only
  View value;       // [width, H·D]
  View output;      // [H·D, width]
};
struct FeedForwardTensors {
  View norm_gamma;     // [width]
  View norm_beta;      // [width]
  View expand;         // [width, ff_width]
  View expand_bias;    // [ff_width]
  View contract;       // [ff_width, width]
  View contract_bias;  // [width]
};
struct HeadTensors {
  View norm_gamma;  // [2·width]
  View norm_beta;   // [2·width]
  View weight;      // [2·width, vocabulary]
  View bias;        // [vocabulary]
};
struct ModelTensors {
  EmbeddingTensors embedding;
  std::vector<AttentionTensors> attention;
  std::vector<FeedForwardTensors> feed_forward;
  HeadTensors head;
};

/// One parameter tensor. Initial values are normal with `deviation` around `mean`.
struct ParameterInfo {
  std::string name;  // such as "layers.3.attention.query_key.weight"
  int part = 0;      // of the model, see model_spec.h
  Shape shape;
  int64_t offset = 0;  // first element in the flat buffer; a multiple of kParameterAlignment
  float mean = 0;
  float deviation = 0;

  View in(const View& flat) const {
    return flat.rows(offset, offset + shape.elements()).reshape(shape);
  }
};

inline constexpr int64_t kParameterAlignment = 64;

/// All parameters, in the order of the flat buffer: embedding, layers, head.
std::vector<ParameterInfo> list_parameters(const ModelSpec& spec);

/// Elements of the flat buffer, alignment gaps included.
int64_t flat_elements(const ModelSpec& spec);

/// Elements of all parameters, without gaps.
int64_t parameter_count(const ModelSpec& spec);

/// Views of the flat buffer, Float32 for parameters or a gradient dtype.
ModelTensors bind_parameters(const ModelSpec& spec, const View& flat);

/// Initial values of parameter `index` of list_parameters, on the host. Each value is a pure
/// function of (seed, index, element).
Tensor initial_values(const ParameterInfo& parameter, uint32_t index, uint64_t seed);

}  // namespace reformer
