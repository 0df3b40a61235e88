#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_mma_backward.cuh"
#include "kernels/cuda/attention_mma_host.h"
#include "kernels/cuda/head_products.h"

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

__nv_bfloat16* elements(const View& view) {
  return static_cast<__nv_bfloat16*>(view.raw());
}

/// fill(group, args) says where the gradients go.
template <typename Fill>
void differentiate(Runtime& runtime, const AttentionFrame& frame, const View& dout, const View& lse,
                   const View& deltas, const Fill& fill) {
  const View key_scales = make_key_scales(runtime, frame);
  with_head_dim(frame.pattern.head_dim, [&](auto d) {
    with_pair_work(frame, [&](auto work) {
      const int shared_bytes =
          BackwardMemory<d>(nullptr, counted_rounds(frame, work)).carver.used();
      for_block_groups(frame, [&](PairGroup pairs) {
        const Workspace::Mark mark(runtime.workspace());
        AttentionBackwardBlockArgs args{
            .block = make_block_args(runtime, frame, pairs, key_scales, true),
            .dout = elements(dout),
            .lse = lse.data<float>(),
            .delta = deltas.data<float>()};
        fill(pairs, args);
        launch_rounds(runtime, attention_backward_mma<d, work>, frame, pairs, shared_bytes, args);
      });
    });
  });
}

}  // namespace

void attention_mma_backward(Runtime& runtime, const AttentionBackwardArgs& args) {
  const Workspace::Mark mark(runtime.workspace());
  const AttentionFrame frame(args.forward);
  const View deltas = make_deltas(runtime, args);
  differentiate(runtime, frame, args.dout, args.forward.lse, deltas,
                [&](PairGroup pairs, AttentionBackwardBlockArgs& backward) {
                  backward.dquery.out = elements(args.dquery);
                  backward.dkey.out = elements(args.dkey);
                  backward.dvalue.out = elements(args.dvalue);
                  if (frame.pattern.rounds == 1) return;
                  const Shape shape{pairs.count, frame.length, frame.pattern.head_dim};
                  for (RoundGradients* gradients : {&backward.dquery, &backward.dvalue}) {
                    gradients->sums =
                        runtime.workspace().allocate(DType::kFloat32, shape).data<float>();
                  }
                });
}

void attention_part_mma_backward(Runtime& runtime, const AttentionPartBackwardArgs& args) {
  const Workspace::Mark mark(runtime.workspace());
  const AttentionFrame frame(args.forward);
  differentiate(runtime, frame, args.dout, args.lse, args.delta,
                [&](PairGroup pairs, AttentionBackwardBlockArgs& backward) {
                  const int64_t first = pairs.first * frame.results() * frame.pattern.head_dim;
                  backward.dquery.sums = args.dquery.data<float>() + first;
                  if (args.dkey.defined()) backward.dkey.sums = args.dkey.data<float>() + first;
                  backward.dvalue.sums = args.dvalue.data<float>() + first;
                });
}

}  // namespace reformer::cuda
