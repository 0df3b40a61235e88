#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_mma_host.h"
#include "kernels/lsh_layout.h"

namespace reformer::cuda {
namespace {

PairRules make_rules(const AttentionArgs& args) {
  const AttentionPattern& pattern = args.pattern;
  const bool chunked = pattern.kind == AttentionKind::kChunked;
  const bool full_both_ways = pattern.kind == AttentionKind::kFull && !pattern.causal;
  // Masked tokens of hashed kinds are in a bucket of their own.
  const bool masked = args.mask.defined() && !is_hashed(pattern.kind);
  return {.check_positions = chunked || full_both_ways || masked,
          .check_everywhere = chunked || masked,
          .before_only = chunked && pattern.causal,
          .excludes_own = has_shared_query_key(pattern.kind),
          .dropout_key = args.dropout.key,
          .dropout_threshold = args.dropout.enabled() ? args.dropout.threshold() : 0,
          .dropout_scale = args.dropout.scale(),
          .first_sample = static_cast<uint32_t>(args.layout.first_sample),
          .rounds = static_cast<int>(pattern.rounds),
          .ring = static_cast<int>(pattern.rounds * args.layout.length),
          .other_rounds = chunked && !pattern.same_bucket_only};
}

}  // namespace

bool attention_mma_supports(const AttentionArgs& args) {
  const AttentionPattern& pattern = args.pattern;
  const int64_t most_counted_rounds = pattern.head_dim == 128 ? 8 : 16;
  return args.query.dtype() == DType::kBFloat16 &&
         (pattern.head_dim == 32 || pattern.head_dim == 64 || pattern.head_dim == 128) &&
         (!corrects_duplicates(pattern) || pattern.rounds <= most_counted_rounds);
}

AttentionBlockArgs make_block_args(Runtime& runtime, const AttentionArgs& args, PairGroup pairs,
                                   const View& key_scales, bool backward) {
  const bool shared = has_shared_query_key(args.pattern.kind);
  const auto elements = [](const View& view) {
    return static_cast<const __nv_bfloat16*>(view.raw());
  };
  return {.tables = make_slot_tables(runtime, args, pairs, backward),
          .rules = make_rules(args),
          .shared_query_key = shared,
          .query = elements(args.query),
          .key = elements(shared ? args.query : args.key),
          .value = elements(args.value),
          .key_scale = key_scales.data<float>(),
          .round = 0,
          .rounds = static_cast<int>(args.pattern.rounds)};
}

}  // namespace reformer::cuda
