#include "trainer/model/flops.h"

#include <algorithm>

namespace reformer {
namespace {

/// Query-key pairs per token and head, all rounds together.
double visible_keys(const AttentionPattern& pattern, int64_t length) {
  const auto tokens = static_cast<double>(length);
  const auto chunk = static_cast<double>(pattern.chunk_length);
  const auto rounds = static_cast<double>(pattern.rounds);
  switch (pattern.kind) {
    case AttentionKind::kStrict:
      return rounds * std::min(chunk, tokens) / 2;
    case AttentionKind::kChunked:
      return rounds * std::min((pattern.causal ? 2 : 3) * chunk, tokens);
    case AttentionKind::kLocal:
      return std::min((pattern.causal ? 1.5 : 3) * chunk, pattern.causal ? tokens / 2 : tokens);
    case AttentionKind::kFull:
      return pattern.causal ? tokens / 2 : tokens;
  }
  return 0;
}

}  // namespace

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
