#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_mma_host.h"

namespace reformer::cuda {
namespace {

PairRules make_rules(const AttentionFrame& frame) {
  const AttentionPattern& pattern = frame.pattern;
  const bool chunked = pattern.kind == AttentionKind::kChunked;
  const bool full_both_ways = pattern.kind == AttentionKind::kFull && !pattern.causal;
  // Masked tokens of hashed kinds are in a bucket of their own. A part may have some.
  const bool masked = (frame.is_part || frame.mask.defined()) && !is_hashed(pattern.kind);
  return {.check_positions = chunked || full_both_ways || masked,
          .check_everywhere = chunked || masked,
          .before_only = chunked && pattern.causal,
          .excludes_own = has_shared_query_key(pattern.kind),
          .dropout_key = frame.dropout.key,
          .dropout_threshold = frame.dropout.enabled() ? frame.dropout.threshold() : 0,
          .dropout_scale = frame.dropout.scale(),
          .first_sample = static_cast<uint32_t>(frame.first_sample),
          .first_head = static_cast<uint32_t>(frame.first_head),
          .rounds = static_cast<int>(pattern.rounds),
          .ring = static_cast<int>(frame.ring().size()),
          .other_rounds = chunked && !pattern.same_bucket_only};
}

}  // namespace

bool attention_mma_supports(const AttentionPattern& pattern, DType activation) {
  const int64_t most_counted_rounds = pattern.head_dim == 128 ? 8 : 16;
  return activation == DType::kBFloat16 &&
         (pattern.head_dim == 32 || pattern.head_dim == 64 || pattern.head_dim == 128) &&
         (!corrects_duplicates(pattern) || pattern.rounds <= most_counted_rounds);
}

AttentionBlockArgs make_block_args(Runtime& runtime, const AttentionFrame& frame, PairGroup pairs,
                                   const View& key_scales, bool backward) {
  const auto elements = [](const View& view) {
    return static_cast<const __nv_bfloat16*>(view.raw());
  };
  return {.tables = make_slot_tables(runtime, frame, pairs, {.seeing = backward}),
          .rules = make_rules(frame),
          .shared_query_key = has_shared_query_key(frame.pattern.kind),
          .query = elements(frame.query),
          .key = elements(frame.key),
          .value = elements(frame.value),
          .key_scale = key_scales.data<float>(),
          .is_part = frame.is_part,
          .round = 0,
          .rounds = static_cast<int>(frame.pattern.rounds)};
}

}  // namespace reformer::cuda
