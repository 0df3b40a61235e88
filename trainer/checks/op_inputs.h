// What the problems of the ops are made of.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/core/view.h"
#include "trainer/checks/op_cases.h"

namespace reformer {

// Bounds of OpCase, for results that are rounded once, and for sums over many rounded terms.
inline constexpr double kExact = 0;
inline constexpr double kRounded32 = 2e-6;
inline constexpr double kSummed32 = 1e-5;
inline constexpr double kRounded16 = 0.006;
inline constexpr double kSummed16 = 0.02;

inline constexpr double kSumLimit = 0x1p50;

/// The shapes that follow from a scale.
struct OpShapes {
  explicit OpShapes(const OpScale& of)
      : scale(of),
        layout{.samples = kSamples,
               .length = of.tokens,
               .first_sample = 3,
               .tile = 128,
               .leaf = std::max<int64_t>(128, of.tokens / 4 / 128 * 128)},
        narrow{layout.rows(), of.width},
        wide{layout.rows(), of.ff_width} {}

  static constexpr int64_t kSamples = 2;
  static constexpr int64_t kRounds = 2;

  int64_t heads() const { return std::max<int64_t>(1, scale.width / scale.head_dim); }
  Shape heads_rows() const { return {layout.rows(), heads() * scale.head_dim}; }
  /// Factors of about one bucket for each 64 tokens.
  std::array<int64_t, 2> buckets() const {
    return {4, std::max<int64_t>(2, scale.tokens / 64 / 8 * 2)};
  }

  OpScale scale;
  TokenLayout layout;
  Shape narrow;  // [rows, width]
  Shape wide;    // [rows, ff_width]
};

// Each number below is decided by its tensor's `index` and its place alone.

/// Independent normal numbers that BFloat16 holds, so that all backends see the same.
Tensor normal(const Shape& shape, uint32_t index, float deviation = 1);
/// The same as a Fixed32 stream.
Tensor normal_stream(const Shape& shape, uint32_t index);
/// The same as a gradient in units of 2^-44.
Tensor normal_gradient(const Shape& shape, uint32_t index);
/// Int32, uniform in [0, bound).
Tensor integers(const Shape& shape, uint32_t index, int64_t bound);

/// The order of random buckets; absent unless the pattern hashes.
struct SortedSlots {
  Tensor order;         // Int32 [B, H, R, T]
  Tensor bucket_begin;  // Int32 [B, H, R, N + 2]
};
SortedSlots sort_random_buckets(const OpShapes& shapes, Backend& backend,
                                const AttentionPattern& pattern);

inline Tensor floats(const Shape& shape) {
  return Tensor(DType::kFloat32, shape);
}
inline Tensor sums(const Shape& shape) {
  return Tensor(DType::kInt64, shape);
}
inline Tensor no_faults() {
  return sums({kFaultKinds});
}
inline GradientSum sum_with(const Tensor& faults) {
  return {.limit = kSumLimit, .faults = faults.view()};
}

/// Tensors cannot be copied into an initialiser list.
template <typename... Tensors>
std::vector<Tensor> list(Tensors&&... tensors) {
  std::vector<Tensor> result;
  (result.push_back(std::forward<Tensors>(tensors)), ...);
  return result;
}

// The cases, by the files of the kernels.
void add_gemm_cases(const OpShapes& shapes, std::vector<OpCase>& cases);       // op_cases_dense.cc
void add_pointwise_cases(const OpShapes& shapes, std::vector<OpCase>& cases);  // op_cases_dense.cc
void add_token_cases(const OpShapes& shapes, std::vector<OpCase>& cases);      // op_cases_token.cc
void add_update_cases(const OpShapes& shapes, std::vector<OpCase>& cases);     // op_cases_token.cc
void add_lsh_cases(const OpShapes& shapes, std::vector<OpCase>& cases);  // op_cases_attention.cc
void add_attention_cases(const OpShapes& shapes, std::vector<OpCase>& cases);
void add_attention_part_cases(const OpShapes& shapes,
                              std::vector<OpCase>& cases);  // op_cases_attention_part.cc

}  // namespace reformer
