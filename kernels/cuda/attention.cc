// The checks of attention, and the choice between its kernels: tensor cores where they can.
#include "kernels/cuda/attention_mma.h"
#include "kernels/cuda/attention_simt.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/rows.h"

namespace reformer::cuda {
namespace {

void check_attention(const AttentionArgs& args) {
  const AttentionPattern& pattern = args.pattern;
  const int64_t samples = args.layout.samples;
  const int64_t length = args.layout.length;
  const Shape rows{args.layout.rows(), pattern.heads * pattern.head_dim};
  const DType dtype = args.query.dtype();
  CHECK_GE(length, 1);
  CHECK_EQ(args.layout.first_position, 0);
  CHECK(pattern.heads >= 1 && pattern.heads < 65536 && pattern.head_dim >= 1);
  CHECK(pattern.chunk_length >= 1 && pattern.rounds >= 1);
  CHECK(pattern.causal || pattern.kind != AttentionKind::kStrict);
  CHECK(is_hashed(pattern.kind) || pattern.rounds == 1);
  // Twice the ring and two chunks more hold all unrolled slots.
  CHECK_LT(2 * (pattern.rounds * length + std::min(pattern.chunk_length, length)),
           int64_t{1} << 31);
  CHECK(args.dropout.rate >= 0 && args.dropout.rate < 1);
  check_activation(args.query, rows);
  check_view(args.value, dtype, rows);
  check_view(args.out, dtype, rows);
  check_view(args.lse, DType::kFloat32, {samples, pattern.heads, length});
  CHECK_EQ(args.key.defined(), !has_shared_query_key(pattern.kind));
  if (args.key.defined()) check_view(args.key, dtype, rows);
  if (args.mask.defined()) check_view(args.mask, DType::kUint8, {samples, length});
  if (!is_hashed(pattern.kind)) return;
  check_view(args.order, DType::kInt32, {samples, pattern.heads, pattern.rounds, length});
  const Shape& begins = args.bucket_begin.shape();
  CHECK_EQ(begins.rank(), 4);
  CHECK_GE(begins[3], 3);
  check_view(args.bucket_begin, DType::kInt32, {samples, pattern.heads, pattern.rounds, begins[3]});
}

void check_attention_backward(const AttentionBackwardArgs& args) {
  check_attention(args.forward);
  const Shape& rows = args.forward.query.shape();
  const DType dtype = args.forward.query.dtype();
  check_view(args.dout, dtype, rows);
  check_view(args.dquery, dtype, rows);
  check_view(args.dvalue, dtype, rows);
  CHECK_EQ(args.dkey.defined(), args.forward.key.defined());
  if (args.dkey.defined()) check_view(args.dkey, dtype, rows);
}

}  // namespace

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
