#include <cmath>

#include "kernels/cuda/attention_mma_tables.cuh"
#include "kernels/cuda/mma.cuh"
#include "kernels/lsh_layout.h"

namespace reformer::cuda {
namespace {

constexpr int kThreads = 256;

// ---- slots -----------------------------------------------------------------------------------

struct Numbering {
  AttentionPattern pattern;
  SlotRing ring;
  int first_pair;
  const int* order;         // [B, H, R, T], or null: slot = position
  const int* bucket_begin;  // [B, H, R, begins]
  int begins;
  const uint8_t* mask;  // [B, T] or null
  // As in SlotTables:
  int* token;
  int2* seen;
  int2* seeing;  // or null
  int* token_slot;
  int2* token_seen;
};

/// The bucket of a slot: the last one that begins at it or before.
__device__ SlotRange bucket_around(const int* begin, int begins, int slot) {
  int low = 0;
  int high = begins - 1;  // begin[low] <= slot < begin[high]
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (begin[middle] <= slot) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return {begin[low], begin[high]};
}

__device__ int2 narrow(SlotRange range, int64_t start) {
  return make_int2(static_cast<int>(range.begin - start), static_cast<int>(range.end - start));
}

/// Grid (slots, rounds, pairs).
__global__ void __launch_bounds__(kThreads) number_slots(Numbering n) {
  const int length = static_cast<int>(n.ring.length());
  const int rounds = static_cast<int>(n.pattern.rounds);
  const int slot = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (slot >= length) return;
  const int round = static_cast<int>(blockIdx.y);
  const int64_t pair = n.first_pair + static_cast<int64_t>(blockIdx.z);
  const int64_t list = pair * rounds + round;
  const int64_t start = static_cast<int64_t>(round) * length;
  const int position = n.order == nullptr ? slot : n.order[list * length + slot];
  const bool masked = n.mask != nullptr && n.mask[pair / n.pattern.heads * length + position] == 0;

  SlotRange bucket;
  if (sees_own_bucket_only(n.pattern)) {
    bucket = bucket_around(n.bucket_begin + list * n.begins, n.begins, slot);
    bucket = {bucket.begin + start, bucket.end + start};
  }
  const SlotRange nothing{start + slot, start + slot};
  SlotRange seen = masked ? nothing : keys_seen_from(n.pattern, n.ring, start + slot, bucket);
  if (seen.empty()) seen = nothing;
  const size_t group_list = (static_cast<size_t>(blockIdx.z) * rounds + round) * length;
  n.token[group_list + slot] = masked ? ~position : position;
  n.seen[group_list + slot] = narrow(seen, start);
  if (n.seeing != nullptr) {
    const SlotRange seeing =
        masked ? nothing : queries_seeing(n.pattern, n.ring, start + slot, bucket);
    n.seeing[group_list + slot] = narrow(seeing.empty() ? nothing : seeing, start);
  }
  if (n.token_slot != nullptr) {
    n.token_slot[group_list + position] = static_cast<int>(start) + slot;
    n.token_seen[group_list + position] = narrow(seen, 0);
  }
}

// ---- numbers of tokens and heads -------------------------------------------------------------

enum class Dot : uint8_t { kPlain, kInverseNorm };

/// dots[b, h, t] from a·b of the head's part of row b·T + t; D / 8 lanes for each.
template <Dot kDot>
__global__ void __launch_bounds__(kThreads)
    head_dots(const uint4* a, const uint4* b, int64_t parts, int heads, int length, int pieces,
              float* dots) {
  const int64_t id = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int64_t part = id / pieces;  // row · H + head
  float sum = 0;
  if (part < parts) {
    const uint4 x = a[id];
    const uint4 y = b[id];
    sum += lower_half(x.x) * lower_half(y.x) + upper_half(x.x) * upper_half(y.x);
    sum += lower_half(x.y) * lower_half(y.y) + upper_half(x.y) * upper_half(y.y);
    sum += lower_half(x.z) * lower_half(y.z) + upper_half(x.z) * upper_half(y.z);
    sum += lower_half(x.w) * lower_half(y.w) + upper_half(x.w) * upper_half(y.w);
  }
  for (int distance = 1; distance < pieces; distance *= 2) {
    sum += __shfl_xor_sync(kFullWarp, sum, distance);
  }
  if (part >= parts || id % pieces != 0) return;
  const int64_t row = part / heads;
  const int64_t sample = row / length;
  float& dot = dots[(sample * heads + part % heads) * length + row % length];
  if (kDot == Dot::kPlain) {
    dot = sum;
  } else {
    const float norm = sqrtf(sum);
    dot = norm < kShortestKey ? 0.0f : 1.0f / norm;
  }
}

__global__ void __launch_bounds__(kThreads) fill(float value, int64_t count, float* values) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) values[i] = value;
}

dim3 blocks_for(int64_t threads) {
  return dim3(static_cast<unsigned>(divide_up(threads, kThreads)));
}

View allocate_for_tokens(Runtime& runtime, const AttentionArgs& args) {
  return runtime.workspace().allocate(
      DType::kFloat32, {args.layout.samples, args.pattern.heads, args.layout.length});
}

template <Dot kDot>
View make_dots(Runtime& runtime, const AttentionArgs& args, const View& a, const View& b) {
  const View dots = allocate_for_tokens(runtime, args);
  const int64_t pieces = args.pattern.head_dim / 8;
  launch(runtime, head_dots<kDot>, blocks_for(dots.elements() * pieces), dim3(kThreads), 0,
         static_cast<const uint4*>(a.raw()), static_cast<const uint4*>(b.raw()), dots.elements(),
         static_cast<int>(args.pattern.heads), static_cast<int>(args.layout.length),
         static_cast<int>(pieces), dots.data<float>());
  return dots;
}

}  // namespace

SlotTables make_slot_tables(Runtime& runtime, const AttentionArgs& args, PairGroup pairs,
                            bool backward) {
  const AttentionPattern& pattern = args.pattern;
  const int64_t length = args.layout.length;
  const auto integers = [&] {
    return static_cast<int*>(
        runtime.workspace().allocate(DType::kInt32, {pairs.count, pattern.rounds, length}).raw());
  };
  const auto ranges = [&] {
    return static_cast<int2*>(runtime.workspace()
                                  .allocate(DType::kInt32, {pairs.count, pattern.rounds, length, 2})
                                  .raw());
  };
  const bool hashed = is_hashed(pattern.kind);
  Numbering numbering{.pattern = pattern,
                      .ring = SlotRing(pattern, length),
                      .first_pair = static_cast<int>(pairs.first),
                      .order = hashed ? args.order.data<int32_t>() : nullptr,
                      .bucket_begin = hashed ? args.bucket_begin.data<int32_t>() : nullptr,
                      .begins = hashed ? static_cast<int>(args.bucket_begin.shape()[3]) : 0,
                      .mask = args.mask.data<uint8_t>(),
                      .token = integers(),
                      .seen = ranges(),
                      .seeing = backward ? ranges() : nullptr,
                      .token_slot = nullptr,
                      .token_seen = nullptr};
  if (corrects_duplicates(pattern)) {
    numbering.token_slot = integers();
    numbering.token_seen = ranges();
  }
  launch(runtime, number_slots,
         dim3(static_cast<unsigned>(divide_up(length, kThreads)),
              static_cast<unsigned>(pattern.rounds), static_cast<unsigned>(pairs.count)),
         dim3(kThreads), 0, numbering);
  return {.length = static_cast<int>(length),
          .rounds = static_cast<int>(pattern.rounds),
          .heads = static_cast<int>(pattern.heads),
          .first_pair = static_cast<int>(pairs.first),
          .token = numbering.token,
          .seen = numbering.seen,
          .seeing = numbering.seeing,
          .token_slot = numbering.token_slot,
          .token_seen = numbering.token_seen};
}

View make_key_scales(Runtime& runtime, const AttentionArgs& args) {
  if (has_shared_query_key(args.pattern.kind)) {
    return make_dots<Dot::kInverseNorm>(runtime, args, args.query, args.query);
  }
  const View scales = allocate_for_tokens(runtime, args);
  launch(runtime, fill, blocks_for(scales.elements()), dim3(kThreads), 0,
         1.0f / std::sqrt(static_cast<float>(args.pattern.head_dim)), scales.elements(),
         scales.data<float>());
  return scales;
}

View make_deltas(Runtime& runtime, const AttentionBackwardArgs& args) {
  return make_dots<Dot::kPlain>(runtime, args.forward, args.dout, args.forward.out);
}

}  // namespace reformer::cuda
