#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_mma_forward.cuh"
#include "kernels/cuda/attention_mma_host.h"
#include "kernels/cuda/head_products.h"

namespace reformer::cuda {
namespace {

/// fill(group, args) says where the results go.
template <typename Fill>
void attend(Runtime& runtime, const AttentionFrame& frame, const Fill& fill) {
  const Workspace::Mark mark(runtime.workspace());
  const View key_scales = make_key_scales(runtime, frame);
  with_head_dim(frame.pattern.head_dim, [&](auto d) {
    with_pair_work(frame, [&](auto work) {
      const int shared_bytes = ForwardMemory<d>(nullptr, counted_rounds(frame, work)).carver.used();
      for_block_groups(frame, [&](PairGroup pairs) {
        const Workspace::Mark group_mark(runtime.workspace());
        AttentionForwardArgs args{.block =
                                      make_block_args(runtime, frame, pairs, key_scales, false)};
        fill(pairs, args);
        launch_rounds(runtime, attention_forward<d, work>, frame, pairs, shared_bytes, args);
      });
    });
  });
}

}  // namespace

void attention_mma(Runtime& runtime, const AttentionArgs& args) {
  const AttentionFrame frame(args);
  attend(runtime, frame, [&](PairGroup pairs, AttentionForwardArgs& forward) {
    forward.out = static_cast<__nv_bfloat16*>(args.out.raw());
    forward.lse = args.lse.data<float>();
    if (frame.pattern.rounds == 1) return;
    const auto allocate = [&](int64_t width) {
      return runtime.workspace()
          .allocate(DType::kFloat32, {pairs.count, frame.length, width})
          .raw();
    };
    constexpr int64_t kSums = sizeof(RoundSums) / sizeof(float);
    forward.value_sums = static_cast<float*>(allocate(frame.pattern.head_dim));
    forward.round_sums = static_cast<RoundSums*>(allocate(kSums));
  });
}

void attention_part_mma(Runtime& runtime, const AttentionPartArgs& args) {
  const AttentionFrame frame(args);
  attend(runtime, frame, [&](PairGroup pairs, AttentionForwardArgs& forward) {
    const int64_t first = pairs.first * frame.results();
    forward.part_sums = args.sums.data<float>() + first * frame.pattern.head_dim;
    forward.part_weights = args.weights.data<float>() + first * kRoundWeights;
  });
}

}  // namespace reformer::cuda
