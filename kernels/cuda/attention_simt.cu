// Attention without tensor cores, forward.
//
// A key has unit length, so |score| <= ‖q‖, and ‖q‖ can be subtracted before exp in place of the
// largest score: all rounds then subtract the same, their unnormalised sums simply add, and nothing
// is ever rescaled. Only queries so long that exp could underflow, and the queries of kLocal, whose
// keys have any length, take their largest score of each round first. Each round has sums of its
// own; the whole adds up parts (attention_combine.cu).
#include "kernels/cuda/attention_combine.h"
#include "kernels/cuda/attention_rounds.cuh"
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
  float* sums;     // [pairs, R, own, D]: Σ w v before dropout's factor
  float* weights;  // [pairs, R, own, kRoundWeights]: as RoundSums
  bool whole_sums;

  /// ‖q‖ is not subtracted before exp.
  __device__ bool is_long(int64_t number) const {
    return in.lengths == nullptr || !(in.lengths[number] <= kLongQuery);
  }
  /// Of a lane.
  __device__ float* weights_of(const TileBlock& block, int lane) const {
    return weights + (block.place.results + block.begin + lane) * kRoundWeights;
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

/// The offsets of long queries: their largest scores.
template <typename E>
__global__ void __launch_bounds__(kTileThreads, 6) find_maxima(ForwardTask<E> task) {
  __shared__ MaximaTile tile;
  const Inputs<E>& in = task.in;
  const TileBlock block(in.tables, in.width);
  const int thread = static_cast<int>(threadIdx.x);
  bool is_long = false;
  in.load_lanes(tile.lanes, tile.reach, Side::kQuery, block,
                [&](int, int64_t number) { is_long = task.is_long(number); });
  if (!__syncthreads_or(is_long)) return;
  const int2 hull = tile.reach.hull();
  const SideVectors<E> queries{in.rows(in.query, block.place), tile.lanes.token, tile.lanes.scale};
  const SideVectors<E> keys{in.rows(in.key, block.place), tile.panel.token, tile.panel.scale};
  float maxima[4] = {kNoScore, kNoScore, kNoScore, kNoScore};
  for (int first = hull.x; first < hull.y; first += kPanel) {
    __syncthreads();
    in.load_rows(tile.panel, Side::kKey, block.place, first, min(hull.y - first, kPanel),
                 [](int, int64_t) {});
    const TileProducts scores = multiply_sides(queries, keys, tile.slices);
    const LanePairs<Side::kQuery> pairs(tile.lanes, tile.reach);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = TileProducts::first_row() + i;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (pairs.see(j, tile.panel, row, first + row)) {
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
  float most = kNoScore;
#pragma unroll
  for (const auto& of_rows : tile.maxima) most = fmaxf(most, of_rows[thread]);
  *task.weights_of(block, thread) = most;
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

/// What the queries see in their round, after find_maxima.
template <typename E, int kWidth>
__global__ void __launch_bounds__(kTileThreads, kWidth <= 64 ? 4 : 3)
    attend_slots(ForwardTask<E> task) {
  __shared__ ForwardTile<kWidth> tile;
  const Inputs<E>& in = task.in;
  const TileBlock block(in.tables, in.width);
  in.load_lanes(tile.lanes, tile.reach, Side::kQuery, block, [&](int row, int64_t number) {
    tile.lanes.offset[row] =
        task.is_long(number) ? *task.weights_of(block, row) : in.lengths[number];
  });
  __syncthreads();
  const int2 hull = tile.reach.hull();
  const int column = block.columns * kWidth;
  const SideVectors<E> queries{in.rows(in.query, block.place), tile.lanes.token, tile.lanes.scale};
  const SideVectors<E> keys{in.rows(in.key, block.place), tile.panel.token, tile.panel.scale};
  const SideVectors<E> values{in.rows(in.value, block.place), tile.panel.token, nullptr};
  LaneSums<kWidth> sums;
  float weight_sums[4] = {};
  for (int first = hull.x; first < hull.y; first += kPanel) {
    const int rows = min(hull.y - first, kPanel);
    // Nobody reads the panel of before: all are past the barrier before the sums.
    in.load_rows(tile.panel, Side::kKey, block.place, first, rows, [](int, int64_t) {});
    const TileProducts scores = multiply_sides(queries, keys, tile.slices);
    weigh_pairs<Side::kQuery>(scores, tile.lanes, tile.reach, tile.panel, first, tile.weights);
    tile.vectors.stage(values, column);
    __syncthreads();
    if (in.rules.any()) {
      apply_rules<Side::kQuery>(in.rules, in.tables, block.place, tile.lanes, tile.panel, rows,
                                tile.weights);
      __syncthreads();
    }
    sums.add(tile.weights, tile.vectors, rows, [&](int i, float weight) {
      weight_sums[i] += fabsf(weight);
      return kept_weight(weight);
    });
  }
  sums.store(task.sums, in.width, block, column, task.whole_sums);
  // All threads of a lane found its Σ w; one of them keeps it.
  if (threadIdx.x >= kLaneThreads || column > 0) return;
  const int lane = TileProducts::first_lane();
  for (int i = 0; i < 4 && lane + i < block.count; ++i) {
    float* const weights = task.weights_of(block, lane + i);
    // That of a long query stands there, and blocks of other columns may still read it.
    const bool is_long = task.is_long(in.number(block.place, tile.lanes.token[lane + i]));
    if (!is_long) weights[0] = tile.lanes.offset[lane + i];
    weights[1] = weight_sums[i];
    weights[2] = weight_sums[i];
  }
}

template <typename E>
void attend_group(Runtime& runtime, const AttentionFrame& frame, PairGroup pairs,
                  const ForwardTask<E>& task) {
  launch(runtime, find_maxima<E>, tile_grid(frame, pairs, task.in.width), dim3(kTileThreads), 0,
         task);
  with_tile_width(task.in.width, [&](auto width) {
    launch(runtime, attend_slots<E, width>, tile_grid(frame, pairs, width), dim3(kTileThreads), 0,
           task);
  });
}

}  // namespace
}  // namespace simt

void attention_simt(Runtime& runtime, const AttentionArgs& args) {
  const AttentionFrame frame(args);
  simt::for_groups(runtime, frame, [&](auto element, PairGroup pairs, const View& lengths) {
    using E = decltype(element);
    const SlotTables tables = make_slot_tables(runtime, frame, pairs, {.token_slot = true});
    const View sums = simt::allocate_results(runtime, frame, pairs, frame.pattern.head_dim);
    const View weights = simt::allocate_results(runtime, frame, pairs, kRoundWeights);
    simt::attend_group<E>(runtime, frame, pairs,
                          {.in = simt::Inputs<E>(frame, tables, lengths),
                           .sums = sums.data<float>(),
                           .weights = weights.data<float>(),
                           .whole_sums = whole_chunks(frame.pattern.head_dim, 4, {sums.raw()})});
    combine_rounds_of(runtime,
                      {.layout = args.layout,
                       .pattern = args.pattern,
                       .dropout = args.dropout,
                       .row = simt::slots_of_tokens(frame, tables, pairs),
                       .sums = sums,
                       .weights = weights,
                       .value = args.value,
                       .mask = args.mask,
                       .out = args.out,
                       .lse = args.lse},
                      pairs, frame.results());
  });
}

void attention_part_simt(Runtime& runtime, const AttentionPartArgs& args) {
  const AttentionFrame frame(args);
  simt::for_groups(runtime, frame, [&](auto element, PairGroup pairs, const View& lengths) {
    using E = decltype(element);
    const int64_t first = pairs.first * frame.results();
    simt::attend_group<E>(
        runtime, frame, pairs,
        {.in = simt::Inputs<E>(frame, make_slot_tables(runtime, frame, pairs, {}), lengths),
         .sums = args.sums.data<float>() + first * frame.pattern.head_dim,
         .weights = args.weights.data<float>() + first * kRoundWeights,
         .whole_sums = whole_chunks(frame.pattern.head_dim, 4, {args.sums.raw()})});
  });
}

}  // namespace reformer::cuda
