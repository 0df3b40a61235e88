#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_mma_backward.cuh"
#include "kernels/cuda/attention_mma_host.h"

namespace reformer::cuda {
namespace {

/// Blocks that shall be resident on one multiprocessor, which bounds the registers.
constexpr int backward_blocks(int head_dim) {
  return head_dim <= 64 ? 3 : 2;
}

/// Grid (blocks of 64 slots, pairs).
template <int D, PairWork kWork>
__global__ void __launch_bounds__(kBlockThreads, backward_blocks(D))
    attention_backward_mma(const __grid_constant__ AttentionBackwardBlockArgs args) {
  extern __shared__ __align__(kTileAlignment) std::byte shared[];
  BackwardBlock<D, kWork>(args, shared).run();
}

template <int D, PairWork kWork>
void run(Runtime& runtime, const AttentionBackwardArgs& args) {
  const AttentionArgs& forward = args.forward;
  const auto elements = [](const View& view) { return static_cast<__nv_bfloat16*>(view.raw()); };
  const View key_scales = make_key_scales(runtime, forward);
  const View deltas = make_deltas(runtime, args);
  for_pair_groups(forward, [&](PairGroup pairs) {
    const Workspace::Mark mark(runtime.workspace());
    AttentionBackwardBlockArgs backward{
        .block = make_block_args(runtime, forward, pairs, key_scales, true),
        .dout = elements(args.dout),
        .lse = forward.lse.data<float>(),
        .delta = deltas.data<float>(),
        .dquery = elements(args.dquery),
        .dkey = elements(args.dkey),
        .dvalue = elements(args.dvalue)};
    if (forward.pattern.rounds > 1) {
      const auto allocate = [&] {
        return static_cast<float*>(
            runtime.workspace()
                .allocate(DType::kFloat32, {pairs.count, forward.layout.length, D})
                .raw());
      };
      backward.dquery_sums = allocate();
      backward.dvalue_sums = allocate();
    }
    const int counted_rounds =
        kWork == PairWork::kDuplicates ? static_cast<int>(forward.pattern.rounds) : 0;
    const int shared_bytes = BackwardMemory<D>(nullptr, counted_rounds).carver.used();
    for (int round = 0; round < forward.pattern.rounds; ++round) {
      backward.block.round = round;
      launch(runtime, attention_backward_mma<D, kWork>, block_grid(forward, pairs),
             dim3(kBlockThreads), static_cast<size_t>(shared_bytes), backward);
    }
  });
}

}  // namespace

void attention_mma_backward(Runtime& runtime, const AttentionBackwardArgs& args) {
  CHECK(attention_mma_supports(args.forward));
  const Workspace::Mark mark(runtime.workspace());
  with_head_dim(args.forward.pattern.head_dim, [&](auto d) {
    with_pair_work(args.forward, [&](auto work) { run<d.value, work.value>(runtime, args); });
  });
}

}  // namespace reformer::cuda
