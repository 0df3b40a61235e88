// The choice between the kernels of attention: tensor cores where they can.
#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_simt.h"
#include "kernels/cuda/ops.h"
#include "kernels/op_checks.h"

namespace reformer::cuda {

void attention(Runtime& runtime, const AttentionArgs& args) {
  check_attention(args);
  const bool mma = attention_mma_supports(args.pattern, args.query.dtype());
  mma ? attention_mma(runtime, args) : attention_simt(runtime, args);
}

void attention_backward(Runtime& runtime, const AttentionBackwardArgs& args) {
  check_attention_backward(args);
  const bool mma = attention_mma_supports(args.forward.pattern, args.forward.query.dtype());
  mma ? attention_mma_backward(runtime, args) : attention_simt_backward(runtime, args);
}

void attention_part(Runtime& runtime, const AttentionPartArgs& args) {
  check_attention_part(args);
  if (args.own.empty()) return;
  const bool mma = attention_mma_supports(args.pattern, args.query.dtype());
  mma ? attention_part_mma(runtime, args) : attention_part_simt(runtime, args);
}

void attention_part_backward(Runtime& runtime, const AttentionPartBackwardArgs& args) {
  check_attention_part_backward(args);
  if (args.forward.own.empty()) return;
  const bool mma = attention_mma_supports(args.forward.pattern, args.forward.query.dtype());
  mma ? attention_part_mma_backward(runtime, args) : attention_part_simt_backward(runtime, args);
}

}  // namespace reformer::cuda
