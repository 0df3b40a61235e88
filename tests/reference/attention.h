// Attention as the paper writes it (section 2, equations 2 to 5): masks are predicates on
// positions, slots and buckets, the self score is −1e5, every round has its own softmax, and rounds
// are combined by their log-sum-exps. Quadratic, in double precision.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"

namespace reformer::reference {

struct AttentionInputs {
  std::vector<double> query;  // [rows, H·D]
  std::vector<double> key;    // [rows, H·D]; kLocal only
  std::vector<double> value;  // [rows, H·D]
};

struct AttentionOutputs {
  std::vector<double> out;  // [rows, H·D]
  std::vector<double> lse;  // [B, H, T]; tokens that see nobody else: about −1e5
};

/// Of `args` layout, pattern, dropout and mask are used. `bucket_of` is Int32 [B, H, R, T]; hashed
/// kinds only.
AttentionOutputs attention(const AttentionArgs& args, const View& bucket_of,
                           const AttentionInputs& inputs);

/// `out` of attend_cached; args.out is not touched.
std::vector<double> attend_cached(const AttendCachedArgs& args);

}  // namespace reformer::reference
