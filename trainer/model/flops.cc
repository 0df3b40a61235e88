#include "trainer/model/flops.h"

#include "kernels/op_cost.h"

namespace reformer {
double forward_flops_per_token(const ModelSpec& spec, int64_t length) {
  const auto width = static_cast<double>(spec.width);
  double multiply_adds = 2 * width * static_cast<double>(spec.vocabulary);
  for (const LayerSpec& layer : spec.layers) {
    const AttentionPattern& pattern = layer.attention;
    const auto inner = static_cast<double>(pattern.heads * pattern.head_dim);
    const int projections = has_shared_query_key(pattern.kind) ? 3 : 4;
    multiply_adds += projections * width * inner;
    multiply_adds += 2 * inner * visible_keys(pattern, length);
    multiply_adds += 2 * width * static_cast<double>(spec.ff_width);
  }
  return 2 * multiply_adds;
}

}  // namespace reformer
