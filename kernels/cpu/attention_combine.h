// How the rounds of attention become one result: the same arithmetic whether the rounds follow each
// other in one op or meet in combine_rounds and combine_gradients.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>

#include "kernels/attention_args.h"
#include "kernels/cpu/attention_rows.h"

namespace reformer::cpu {

/// The offset of a query that saw nobody, unless its offset does not come from scores.
inline constexpr float kNoOffset = -std::numeric_limits<float>::infinity();

/// What queries add up, w = exp(score − offset).
struct RoundSums {
  float* values = nullptr;   // [count, width]: Σ w v
  float* weights = nullptr;  // [count]: Σ w
  float* offsets = nullptr;  // [count]
};

/// Adds the sums of the rounds before to those of a round. Both are scaled to the larger of the two
/// offsets; where these are equal, the sums are added as they are. Of `earlier` only the values
/// stay.
void add_earlier_rounds(const RoundSums& earlier, int64_t count, int64_t width,
                        const RoundSums& sums);

/// Turns the values of all rounds into outputs and the offsets into log-sum-exps; nothing stays of
/// the weights. is_masked(i) tells masked queries; `own` are the value rows of the queries.
template <typename IsMasked>
void finish_rounds(const TokenRows& own, const IsMasked& is_masked, int64_t width,
                   const RoundSums& sums) {
  for (int64_t i = 0; i < own.count; ++i) {
    float& total = sums.weights[i];
    float& lse = sums.offsets[i];
    if (is_masked(i)) {
      lse = 0;
      total = 1;
    } else if (total == 0) {
      gather_rows(own.slice(i, 1), sums.values + i * width);
      lse = kSelfScore;
      total = 1;
    } else {
      lse += std::log(total);
      total = 1 / total;
    }
  }
  scale_rows(sums.weights, own.count, width, sums.values);
}

/// A token that saw nobody else has its own value as output: adds the gradient of the output to
/// its row of `values`, the gradients [count, width] of the values. is_alone(i) tells such tokens;
/// `scratch` is one row.
template <typename IsAlone>
void add_own_value_gradients(const TokenRows& output_gradients, const IsAlone& is_alone,
                             int64_t width, float* scratch, float* values) {
  for (int64_t i = 0; i < output_gradients.count; ++i) {
    if (!is_alone(i)) continue;
    gather_rows(output_gradients.slice(i, 1), scratch);
    std::transform(scratch, scratch + width, values + i * width, values + i * width,
                   std::plus<float>());
  }
}

}  // namespace reformer::cpu
