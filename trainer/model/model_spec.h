// The shape of a model with everything resolved: no defaults, no automatic choices. It is made once
// from the configuration, stored in checkpoints, and used at every length.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/attention_pattern.h"
#include "kernels/backend.h"
#include "kernels/core/dtype.h"

namespace reformer {

/// One axis of the axial positions: a table [extent, width].
struct PositionAxis {
  int64_t extent = 1;
  int64_t width = 1;
};

struct LayerSpec {
  AttentionPattern attention;
  std::vector<int64_t> buckets;  // factors n_f, even; empty unless hashed
  // kFull in place of LSH: the maximum length, which is too short for hashing to pay; otherwise 0.
  int64_t too_short_to_hash = 0;
};

/// The parts of a model are its layers, by their index, the embedding before and the head after
/// them.
inline constexpr int kEmbeddingPart = -1;

struct ModelSpec {
  int64_t vocabulary = 256;
  int64_t width = 256;      // d_model
  int64_t ff_width = 1024;  // d_ff
  int64_t max_length = 1024;
  Activation activation = Activation::kRelu;
  float layer_norm_epsilon = 1e-5f;
  std::vector<PositionAxis> position_axes;  // widths add up to `width`; empty: no positions
  std::vector<LayerSpec> layers;

  float dropout = 0;            // embedding, attention output, inside and after feed-forward, head
  float attention_dropout = 0;  // attention weights

  DType stream_dtype = DType::kFixed32;   // or kFloat32
  DType compute_dtype = DType::kFloat32;  // of activations inside the blocks; or kBFloat16
  bool store_activations = false;         // false: reconstruct them (reversible)
  bool exact_sums = true;                 // gradients in int64, or Float32
  int64_t leaf_tokens = 1024;
  int64_t tile_tokens = 128;

  int head_part() const { return static_cast<int>(layers.size()); }
};

}  // namespace reformer
