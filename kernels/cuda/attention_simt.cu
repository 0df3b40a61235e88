// Attention without tensor cores, forward.
//
// A key has unit length, so |score| <= ‖q‖, and ‖q‖ can be subtracted before exp in place of the
// largest score: all rounds then subtract the same, their unnormalised sums simply add, and nothing
// is ever rescaled. Only queries so long that exp could underflow, and the queries of kLocal, whose
// keys have any length, take their largest score over all rounds first. Rounds follow each other,
// so that each token has one writer.
#include "kernels/cuda/attention_simt.cuh"
#include "kernels/cuda/attention_simt.h"

namespace reformer::cuda {
namespace simt {
namespace {

/// exp(−2 · 30) is 1e12 times the smallest normal float: enough for the products with values.
constexpr float kLongQuery = 30.0f;

template <typename E>
struct ForwardTask {
  Inputs<E> in;
  int round;
  float* maxima;       // [B, H, T]: largest scores, of long queries only
  float* sums;         // [rows, H·D]: Σ w v before dropout's factor
  float* weight_sums;  // [B, H, T]: Σ w
  bool whole_sums;

  /// ‖q‖ is not subtracted before exp.
  __device__ bool is_long(int64_t token) const {
    return in.lengths == nullptr || !(in.lengths[token] <= kLongQuery);
  }
  __device__ float offset(int64_t token) const {
    return is_long(token) ? maxima[token] : in.lengths[token];
  }
};

// ---- largest scores --------------------------------------------------------------------------

struct MaximaTile {
  SlotRows<kLanes> lanes;
  SlotReach<kLanes> reach;
  SlotRows<kPanel> panel;
  TileSlices slices;
  float maxima[kTileThreads / kLaneThreads][kLanes];
};

/// Raises the maxima of long queries to their largest score in this round.
template <typename E>
__global__ void __launch_bounds__(kTileThreads, 6) find_maxima(ForwardTask<E> task) {
  __shared__ MaximaTile tile;
  const Inputs<E>& in = task.in;
  const TileBlock block(in.slots, task.round);
  const int thread = static_cast<int>(threadIdx.x);
  bool is_long = false;
  in.load_rows(tile.lanes, Side::kQuery, block, block.begin, block.count,
               [&](int, int64_t token) { is_long = task.is_long(token); });
  if (!__syncthreads_or(is_long)) return;
  if (thread < kLanes) {
    tile.reach.set(thread, Side::kQuery, tile.lanes, in.slots, block.sample_head,
                   block.begin + thread);
  }
  __syncthreads();
  const SlotRange hull = tile.reach.hull();
  const TokenRows<E> queries(in.query, in.slots, block, in.whole);
  const TokenRows<E> keys(in.key, in.slots, block, in.whole);
  float maxima[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
  for (int64_t first = hull.begin; first < hull.end; first += kPanel) {
    const int rows = static_cast<int>(min(hull.end - first, static_cast<int64_t>(kPanel)));
    __syncthreads();
    in.load_rows(tile.panel, Side::kKey, block, first, rows, [](int, int64_t) {});
    const TileProducts scores =
        multiply_sides<E>({queries, tile.lanes.position, tile.lanes.scale},
                          {keys, tile.panel.position, tile.panel.scale}, tile.slices);
    const LanePairs<Side::kQuery> pairs(tile.lanes, tile.reach);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = TileProducts::first_row() + i;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (pairs.see(j, tile.panel, row, static_cast<int32_t>(first) + row)) {
          maxima[j] = fmaxf(maxima[j], scores.value[i][j]);
        }
      }
    }
  }
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    tile.maxima[thread / kLaneThreads][TileProducts::first_lane() + j] = maxima[j];
  }
  __syncthreads();
  if (!is_long) return;
  const int64_t token = in.token(block.sample_head, tile.lanes.position[thread]);
  float most = task.round == 0 ? -INFINITY : task.maxima[token];
#pragma unroll
  for (const auto& of_rows : tile.maxima) most = fmaxf(most, of_rows[thread]);
  task.maxima[token] = most;
}

// ---- sums ------------------------------------------------------------------------------------

template <int kWidth>
struct ForwardTile {
  SlotRows<kLanes> lanes;
  SlotReach<kLanes> reach;
  SlotRows<kPanel> panel;
  TileSlices slices;
  TileWeights weights;
  TileVectors<kWidth> vectors;
};

/// Adds what the queries see from this round. blockIdx.y: which kWidth columns of the values.
template <typename E, int kWidth>
__global__ void __launch_bounds__(kTileThreads, kWidth <= 64 ? 4 : 3)
    add_round(ForwardTask<E> task) {
  __shared__ ForwardTile<kWidth> tile;
  const Inputs<E>& in = task.in;
  const TileBlock block(in.slots, task.round);
  const int thread = static_cast<int>(threadIdx.x);
  in.load_rows(tile.lanes, Side::kQuery, block, block.begin, block.count,
               [&](int row, int64_t token) { tile.lanes.offset[row] = task.offset(token); });
  if (thread < kLanes) {
    tile.reach.set(thread, Side::kQuery, tile.lanes, in.slots, block.sample_head,
                   block.begin + thread);
  }
  __syncthreads();
  const SlotRange hull = tile.reach.hull();
  const bool first_round = task.round == 0;
  if (hull.empty() && !first_round) return;

  const int column = static_cast<int>(blockIdx.y) * kWidth;
  const TokenRows<E> queries(in.query, in.slots, block, in.whole);
  const TokenRows<E> keys(in.key, in.slots, block, in.whole);
  const TokenRows<E> values(in.value, in.slots, block, in.whole);
  const TokenSums token_sums(task.sums, in.slots, block, task.whole_sums);
  LaneSums<kWidth> sums;
  if (!first_round) sums.load(token_sums, tile.lanes.position, column);
  // All threads of a lane find its Σ w; one of them keeps it.
  const bool keeps_weights = thread < kLaneThreads && column == 0;
  const int lane = TileProducts::first_lane();
  float weight_sums[4] = {};
  for (int j = 0; j < 4 && keeps_weights && !first_round; ++j) {
    const int32_t position = tile.lanes.position[lane + j];
    if (position != kNoToken)
      weight_sums[j] = task.weight_sums[in.token(block.sample_head, position)];
  }
  for (int64_t first = hull.begin; first < hull.end; first += kPanel) {
    const int rows = static_cast<int>(min(hull.end - first, static_cast<int64_t>(kPanel)));
    // Nobody reads the panel of before: all are past the barrier before the sums.
    in.load_rows(tile.panel, Side::kKey, block, first, rows, [](int, int64_t) {});
    const TileProducts scores =
        multiply_sides<E>({queries, tile.lanes.position, tile.lanes.scale},
                          {keys, tile.panel.position, tile.panel.scale}, tile.slices);
    weigh_pairs<Side::kQuery>(scores, tile.lanes, tile.reach, tile.panel,
                              static_cast<int32_t>(first), tile.weights);
    tile.vectors.stage(SideVectors<E>{values, tile.panel.position, nullptr}, column);
    __syncthreads();
    if (in.rules.any()) {
      apply_rules<Side::kQuery>(in.rules, in.slots, block, tile.lanes, tile.panel, rows,
                                tile.weights);
      __syncthreads();
    }
    sums.add(tile.weights, tile.vectors, rows, [&](int i, float weight) {
      weight_sums[i] += fabsf(weight);
      return kept_weight(weight);
    });
  }
  sums.store(token_sums, tile.lanes.position, column);
  for (int j = 0; j < 4 && keeps_weights; ++j) {
    const int32_t position = tile.lanes.position[lane + j];
    if (position != kNoToken)
      task.weight_sums[in.token(block.sample_head, position)] = weight_sums[j];
  }
}

// ---- the end ---------------------------------------------------------------------------------

/// One warp for each row and head: out = Σ w v / Σ w, and its lse in the place of Σ w. −0 becomes
/// 0, so that the sign of a sum that underflowed does not tell whether zeros were added to it
/// after.
template <typename E>
__global__ void __launch_bounds__(kTileThreads)
    finish_rows(ForwardTask<E> task, float dropout_scale, int64_t count, E* out) {
  const Inputs<E>& in = task.in;
  const int64_t index =
      static_cast<int64_t>(blockIdx.x) * (kTileThreads / kWarp) + threadIdx.x / kWarp;
  if (index >= count) return;
  const int64_t heads = in.slots.pattern.heads;
  const int64_t width = in.slots.pattern.head_dim;
  const int64_t length = in.slots.ring.length();
  const int64_t row = index / heads;
  const int64_t sample_head = row / length * heads + index % heads;
  const auto position = static_cast<int32_t>(row % length);
  const int64_t token = in.token(sample_head, position);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const bool masked = in.slots.is_masked(sample_head, position);
  const float total = __shfl_sync(kFullWarp, lane == 0 ? task.weight_sums[token] : 0.0f, 0);
  const bool alone = !masked && total == 0;
  const float factor = masked ? 0.0f : dropout_scale / total;
  for (int64_t i = index * width + lane; i < (index + 1) * width; i += kWarp) {
    if (alone) {
      out[i] = in.value[i];
    } else {
      store(out + i, masked ? 0.0f : task.sums[i] * factor + 0.0f);
    }
  }
  if (lane != 0) return;
  task.weight_sums[token] = masked ? 0.0f : alone ? kSelfScore : task.offset(token) + logf(total);
}

template <typename E>
void attend(Runtime& runtime, const AttentionArgs& args) {
  const AttentionPattern& pattern = args.pattern;
  const View sums = make_sums(runtime, args.out);
  ForwardTask<E> task{
      .in = Inputs<E>(runtime, args),
      .round = 0,
      .maxima =
          runtime.workspace().allocate(DType::kFloat32, args.lse.shape()).template data<float>(),
      .sums = sums.data<float>(),
      .weight_sums = args.lse.data<float>(),
      .whole_sums = whole_chunks(pattern.head_dim, 4, {sums.raw()})};
  const auto rounds = static_cast<int>(pattern.rounds);
  for (int round = 0; round < rounds; ++round) {
    task.round = round;
    launch(runtime, find_maxima<E>, dim3(static_cast<unsigned>(TileBlock::blocks(args))),
           dim3(kTileThreads), 0, task);
  }
  with_tile_width(pattern.head_dim, [&](auto width) {
    for (int round = 0; round < rounds; ++round) {
      task.round = round;
      launch(runtime, add_round<E, width>, tile_grid(args, width), dim3(kTileThreads), 0, task);
    }
  });
  const int64_t count = args.layout.rows() * pattern.heads;
  launch(runtime, finish_rows<E>,
         dim3(static_cast<unsigned>(divide_up(count, kTileThreads / kWarp))), dim3(kTileThreads), 0,
         task, args.dropout.enabled() ? args.dropout.scale() : 1.0f, count, args.out.data<E>());
}

}  // namespace
}  // namespace simt

void attention_simt(Runtime& runtime, const AttentionArgs& args) {
  const Workspace::Mark mark(runtime.workspace());
  with_element_type(args.query.dtype(),
                    [&](auto element) { simt::attend<decltype(element)>(runtime, args); });
}

}  // namespace reformer::cuda
