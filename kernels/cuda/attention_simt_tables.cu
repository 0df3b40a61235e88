#include "kernels/cuda/attention_simt.cuh"

namespace reformer::cuda::simt {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarp;

/// One warp for each row and head.
template <typename E, bool kRoot>
__global__ void __launch_bounds__(kThreads)
    multiply_heads(const E* a, const E* b, int64_t length, int64_t heads, int64_t width,
                   int64_t count, float* dots) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kWarp;
  if (index >= count) return;
  float sum = 0;
  for (int64_t i = threadIdx.x % kWarp; i < width; i += kWarp) {
    sum = __fmaf_rn(load(a + index * width + i), load(b + index * width + i), sum);
  }
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp != 0) return;
  const int64_t row = index / heads;
  const int64_t at = (row / length * heads + index % heads) * length + row % length;
  dots[at] = kRoot ? sqrtf(sum) : sum;
}

template <bool kRoot>
View multiply(Runtime& runtime, const AttentionArgs& args, const View& a, const View& b) {
  const int64_t count = args.layout.rows() * args.pattern.heads;
  const View dots = runtime.workspace().allocate(DType::kFloat32, {count});
  with_element_type(a.dtype(), [&](auto element) {
    using E = decltype(element);
    launch(runtime, multiply_heads<E, kRoot>, dim3(static_cast<unsigned>(divide_up(count, kWarps))),
           dim3(kThreads), 0, a.data<E>(), b.data<E>(), args.layout.length, args.pattern.heads,
           args.pattern.head_dim, count, dots.data<float>());
  });
  return dots;
}

/// One thread for each slot of each sample and head.
__global__ void __launch_bounds__(kThreads)
    tabulate_tokens(SlotMap slots, int64_t count, int32_t* slot_in, int2* seen_in) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= count) return;
  const int64_t sample_head = index / slots.ring.size();
  const int64_t slot = index % slots.ring.size();
  const int64_t round = slot / slots.ring.length();
  const int64_t token = sample_head * slots.ring.length() + slots.position(sample_head, slot);
  const int64_t at = token * slots.pattern.rounds + round;
  const SlotRange seen = slots.reach(Side::kQuery, sample_head, slot);
  slot_in[at] = static_cast<int32_t>(slot);
  seen_in[at] = make_int2(static_cast<int>(seen.begin), static_cast<int>(seen.end));
}

}  // namespace

View make_head_dots(Runtime& runtime, const AttentionArgs& args, const View& a, const View& b) {
  return multiply<false>(runtime, args, a, b);
}

View make_query_lengths(Runtime& runtime, const AttentionArgs& args) {
  if (!has_shared_query_key(args.pattern.kind)) return View();
  return multiply<true>(runtime, args, args.query, args.query);
}

PairRules make_pair_rules(Runtime& runtime, const AttentionArgs& args) {
  PairRules rules;
  rules.drops = args.dropout.enabled();
  rules.key = args.dropout.key;
  rules.threshold = args.dropout.threshold();
  rules.first_sample = static_cast<uint32_t>(args.layout.first_sample);
  if (!corrects_duplicates(args.pattern)) return rules;
  const SlotMap slots(args);
  const int64_t count = args.order.elements();
  int32_t* const slot_in = runtime.workspace().allocate(DType::kInt32, {count}).data<int32_t>();
  int32_t* const seen_in = runtime.workspace().allocate(DType::kInt32, {count, 2}).data<int32_t>();
  rules.slot_in = slot_in;
  rules.seen_in = reinterpret_cast<int2*>(seen_in);
  rules.rounds = static_cast<int32_t>(args.pattern.rounds);
  rules.ring_size = static_cast<int32_t>(slots.ring.size());
  rules.other_rounds = !sees_own_bucket_only(args.pattern);
  launch(runtime, tabulate_tokens, dim3(static_cast<unsigned>(divide_up(count, kThreads))),
         dim3(kThreads), 0, slots, count, slot_in, reinterpret_cast<int2*>(seen_in));
  return rules;
}

View make_sums(Runtime& runtime, const View& activation) {
  if (activation.dtype() == DType::kFloat32) return activation;
  return runtime.workspace().allocate(DType::kFloat32, activation.shape());
}

}  // namespace reformer::cuda::simt
