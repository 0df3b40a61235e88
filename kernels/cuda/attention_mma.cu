#include <algorithm>

#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_mma_forward.cuh"
#include "kernels/cuda/attention_mma_host.h"

namespace reformer::cuda {
namespace {

template <int D, PairWork kWork>
void run(Runtime& runtime, const AttentionArgs& args) {
  const View key_scales = make_key_scales(runtime, args);
  for_pair_groups(args, [&](PairGroup pairs) {
    const Workspace::Mark mark(runtime.workspace());
    AttentionForwardArgs forward{.block = make_block_args(runtime, args, pairs, key_scales, false),
                                 .out = static_cast<__nv_bfloat16*>(args.out.raw()),
                                 .lse = args.lse.data<float>()};
    if (args.pattern.rounds > 1) {
      const auto allocate = [&](int64_t width) {
        return runtime.workspace().allocate(DType::kFloat32,
                                            {pairs.count, args.layout.length, width});
      };
      forward.value_sums = static_cast<float*>(allocate(D).raw());
      constexpr int64_t kSums = sizeof(RoundSums) / sizeof(float);
      forward.round_sums = static_cast<RoundSums*>(allocate(kSums).raw());
    }
    const int counted_rounds =
        kWork == PairWork::kDuplicates ? static_cast<int>(args.pattern.rounds) : 0;
    const int shared_bytes = ForwardMemory<D>(nullptr, counted_rounds).carver.used();
    for (int round = 0; round < args.pattern.rounds; ++round) {
      forward.block.round = round;
      launch(runtime, attention_forward<D, kWork>, block_grid(args, pairs), dim3(kBlockThreads),
             static_cast<size_t>(shared_bytes), forward);
    }
  });
}

}  // namespace

void attention_mma(Runtime& runtime, const AttentionArgs& args) {
  CHECK(attention_mma_supports(args));
  const Workspace::Mark mark(runtime.workspace());
  with_head_dim(args.pattern.head_dim, [&](auto d) {
    with_pair_work(args, [&](auto work) { run<d.value, work.value>(runtime, args); });
  });
}

}  // namespace reformer::cuda
