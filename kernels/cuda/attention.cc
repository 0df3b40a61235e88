// The choice between the kernels of attention: tensor cores where they can.
#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_simt.h"
#include "kernels/cuda/ops.h"
#include "kernels/op_checks.h"

namespace reformer::cuda {
void attention(Runtime& runtime, const AttentionArgs& args) {
  check_attention(args);
  if (attention_mma_supports(args)) {
    attention_mma(runtime, args);
  } else {
    attention_simt(runtime, args);
  }
}

void attention_backward(Runtime& runtime, const AttentionBackwardArgs& args) {
  check_attention_backward(args);
  if (attention_mma_supports(args.forward)) {
    attention_mma_backward(runtime, args);
  } else {
    attention_simt_backward(runtime, args);
  }
}

}  // namespace reformer::cuda
