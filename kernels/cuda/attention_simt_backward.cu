// Attention without tensor cores, backward: two sweeps over the scores, so that every gradient has
// one writer. In the first a block owns queries and adds up what they get from the keys they see;
// in the second it owns keys and adds up what they get from the queries that see them. Both sweeps
// are the same walk with the sides swapped. A side has two vectors for each token: a query and the
// gradient of its output, or a unit key and its value.
#include "kernels/cuda/attention_simt.cuh"
#include "kernels/cuda/attention_simt.h"

namespace reformer::cuda {
namespace simt {
namespace {

template <typename E>
struct BackwardTask {
  Inputs<E> in;
  int round;
  float dropout_scale;
  const E* dout;
  const float* lse;     // [B, H, T]
  const float* deltas;  // [B, H, T]: dout·out
  // Sums over rounds, [rows, H·D]:
  float* dquery;
  float* dkey;  // of the unit key, unless kLocal
  float* dvalue;
  bool whole_sums;
};

template <int kWidth>
struct BackwardTile {
  SlotRows<kLanes> lanes;
  SlotReach<kLanes> reach;
  SlotRows<kPanel> panel;
  TileSlices slices;
  TileWeights weights;
  TileWeights gradients;  // of scores
  TileVectors<kWidth> vectors;
};

/// `weights` turn into what dropout leaves of them, and `gradients` become those of the scores:
/// factor · weight · (dropout(g) − delta), where g = gradient of the output · value.
template <Side kLaneSide>
__device__ void differentiate(const TileProducts& g, const SlotRows<kLanes>& lanes,
                              const SlotRows<kPanel>& panel, float dropout_scale, float factor,
                              TileWeights& weights, TileWeights& gradients) {
  const int lane = TileProducts::first_lane();
  const float4 of_lanes = *reinterpret_cast<const float4*>(&lanes.delta[lane]);
  const float deltas[4] = {of_lanes.x, of_lanes.y, of_lanes.z, of_lanes.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = TileProducts::first_row() + i;
    const float4 loaded = weights.lanes(row, lane);
    float w[4] = {loaded.x, loaded.y, loaded.z, loaded.w};
    float ds[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const float delta = kLaneSide == Side::kQuery ? deltas[j] : panel.delta[row];
      const float kept = kept_weight(w[j]) * dropout_scale;
      ds[j] = factor * __fmaf_rn(kept, g.value[i][j], -(fabsf(w[j]) * delta));
      w[j] = kept;
    }
    weights.lanes(row, lane) = make_float4(w[0], w[1], w[2], w[3]);
    gradients.lanes(row, lane) = make_float4(ds[0], ds[1], ds[2], ds[3]);
  }
}

/// Adds the gradients of the lanes' vectors in this round. blockIdx.y: which kWidth columns of
/// them.
template <typename E, int kWidth, Side kLaneSide>
__global__ void __launch_bounds__(kTileThreads, kWidth <= 64 ? 3 : 2)
    add_gradients(BackwardTask<E> task) {
  constexpr bool kOwnsKeys = kLaneSide == Side::kKey;
  constexpr Side kPanelSide = kOwnsKeys ? Side::kQuery : Side::kKey;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  auto& tile = *reinterpret_cast<BackwardTile<kWidth>*>(shared_memory);
  const Inputs<E>& in = task.in;
  const TileBlock block(in.slots, task.round);
  const int thread = static_cast<int>(threadIdx.x);
  in.load_rows(tile.lanes, kLaneSide, block, block.begin, block.count, [&](int row, int64_t token) {
    tile.lanes.offset[row] = task.lse[token];
    tile.lanes.delta[row] = task.deltas[token];
  });
  if (thread < kLanes) {
    tile.reach.set(thread, kLaneSide, tile.lanes, in.slots, block.sample_head,
                   block.begin + thread);
  }
  __syncthreads();
  const SlotRange hull = tile.reach.hull();
  const bool first_round = task.round == 0;
  if (hull.empty() && !first_round) return;

  const int column = static_cast<int>(blockIdx.y) * kWidth;
  const TokenRows<E> queries(in.query, in.slots, block, in.whole);
  const TokenRows<E> keys(in.key, in.slots, block, in.whole);
  const TokenRows<E> douts(task.dout, in.slots, block, in.whole);
  const TokenRows<E> values(in.value, in.slots, block, in.whole);
  const TokenSums scored_token_sums(kOwnsKeys ? task.dkey : task.dquery, in.slots, block,
                                    task.whole_sums);
  const TokenSums valued_token_sums(task.dvalue, in.slots, block, task.whole_sums);
  const SideVectors<E> scored_lanes{kOwnsKeys ? keys : queries, tile.lanes.position,
                                    tile.lanes.scale};
  const SideVectors<E> valued_lanes{kOwnsKeys ? values : douts, tile.lanes.position, nullptr};
  const SideVectors<E> scored_panel{kOwnsKeys ? queries : keys, tile.panel.position,
                                    tile.panel.scale};
  const SideVectors<E> valued_panel{kOwnsKeys ? douts : values, tile.panel.position, nullptr};
  const auto unchanged = [](int, float weight) { return weight; };
  LaneSums<kWidth> scored_sums;
  LaneSums<kWidth> valued_sums;
  if (!first_round) {
    scored_sums.load(scored_token_sums, tile.lanes.position, column);
    if (kOwnsKeys) valued_sums.load(valued_token_sums, tile.lanes.position, column);
  }
  for (int64_t first = hull.begin; first < hull.end; first += kPanel) {
    const int rows = static_cast<int>(min(hull.end - first, static_cast<int64_t>(kPanel)));
    // Nobody reads the panel of before: all are past the barrier before the last sums.
    in.load_rows(tile.panel, kPanelSide, block, first, rows, [&](int row, int64_t token) {
      tile.panel.offset[row] = task.lse[token];
      tile.panel.delta[row] = task.deltas[token];
    });
    const TileProducts scores = multiply_sides(scored_lanes, scored_panel, tile.slices);
    weigh_pairs<kLaneSide>(scores, tile.lanes, tile.reach, tile.panel, static_cast<int32_t>(first),
                           tile.weights);
    if (in.rules.any()) {
      __syncthreads();
      apply_rules<kLaneSide>(in.rules, in.slots, block, tile.lanes, tile.panel, rows, tile.weights);
    }
    const TileProducts g = multiply_sides(valued_lanes, valued_panel, tile.slices);
    differentiate<kLaneSide>(g, tile.lanes, tile.panel, task.dropout_scale,
                             kOwnsKeys ? 1.0f : in.query_factor, tile.weights, tile.gradients);
    tile.vectors.stage(scored_panel, column);
    __syncthreads();
    scored_sums.add(tile.gradients, tile.vectors, rows, unchanged);
    if (kOwnsKeys) {
      __syncthreads();
      tile.vectors.stage(valued_panel, column);
      __syncthreads();
      valued_sums.add(tile.weights, tile.vectors, rows, unchanged);
    }
  }
  scored_sums.store(scored_token_sums, tile.lanes.position, column);
  if (kOwnsKeys) valued_sums.store(valued_token_sums, tile.lanes.position, column);
}

// ---- the end ---------------------------------------------------------------------------------

template <typename E>
struct Gradients {
  E* dquery;
  E* dkey;  // kLocal only
  E* dvalue;
};

/// One warp for each row and head: sums become the gradients. With shared queries and keys, the
/// gradient of the unit key passes through its normalisation, and a token that saw nobody else
/// passes that of its output to its value.
template <typename E>
__global__ void __launch_bounds__(kTileThreads)
    finish_gradients(BackwardTask<E> task, int64_t count, Gradients<E> gradients) {
  const Inputs<E>& in = task.in;
  const int64_t index =
      static_cast<int64_t>(blockIdx.x) * (kTileThreads / kWarp) + threadIdx.x / kWarp;
  if (index >= count) return;
  const int64_t heads = in.slots.pattern.heads;
  const int64_t width = in.slots.pattern.head_dim;
  const int64_t length = in.slots.ring.length();
  const int64_t row = index / heads;
  const int64_t token =
      in.token(row / length * heads + index % heads, static_cast<int32_t>(row % length));
  const int64_t begin = index * width + threadIdx.x % kWarp;
  const int64_t end = (index + 1) * width;
  if (gradients.dkey != nullptr) {
    for (int64_t i = begin; i < end; i += kWarp) {
      store(gradients.dquery + i, task.dquery[i]);
      store(gradients.dkey + i, task.dkey[i]);
      store(gradients.dvalue + i, task.dvalue[i]);
    }
    return;
  }
  const float factor = in.key_factor(token);
  float along = 0;
  for (int64_t i = begin; i < end; i += kWarp) {
    along = __fmaf_rn(task.dkey[i], factor * load(in.query + i), along);
  }
  along = warp_sum(along);
  const bool alone = task.lse[token] == kSelfScore;
  for (int64_t i = begin; i < end; i += kWarp) {
    const float across = __fmaf_rn(-along, factor * load(in.query + i), task.dkey[i]);
    store(gradients.dquery + i, __fmaf_rn(across, factor, task.dquery[i]));
    store(gradients.dvalue + i, task.dvalue[i] + (alone ? load(task.dout + i) : 0.0f));
  }
}

template <typename E, int kWidth, Side kLaneSide>
void sweep(Runtime& runtime, const AttentionArgs& args, BackwardTask<E> task) {
  for (int round = 0; round < static_cast<int>(args.pattern.rounds); ++round) {
    task.round = round;
    launch(runtime, add_gradients<E, kWidth, kLaneSide>, tile_grid(args, kWidth),
           dim3(kTileThreads), sizeof(BackwardTile<kWidth>), task);
  }
}

template <typename E>
void differentiate_attention(Runtime& runtime, const AttentionBackwardArgs& args) {
  const AttentionArgs& forward = args.forward;
  const AttentionPattern& pattern = forward.pattern;
  const bool shared = has_shared_query_key(pattern.kind);
  const View dquery = make_sums(runtime, args.dquery);
  const View dvalue = make_sums(runtime, args.dvalue);
  const View dkey = shared ? runtime.workspace().allocate(DType::kFloat32, args.dquery.shape())
                           : make_sums(runtime, args.dkey);
  BackwardTask<E> task{
      .in = Inputs<E>(runtime, forward),
      .round = 0,
      .dropout_scale = forward.dropout.enabled() ? forward.dropout.scale() : 1.0f,
      .dout = args.dout.data<E>(),
      .lse = forward.lse.data<float>(),
      .deltas = make_head_dots(runtime, forward, args.dout, forward.out).template data<float>(),
      .dquery = dquery.data<float>(),
      .dkey = dkey.data<float>(),
      .dvalue = dvalue.data<float>(),
      .whole_sums = whole_chunks(pattern.head_dim, 4, {dquery.raw(), dkey.raw(), dvalue.raw()})};
  task.in.whole = task.in.whole && whole_chunks(pattern.head_dim, kTokenChunk, {args.dout.raw()});
  with_tile_width(pattern.head_dim, [&](auto width) {
    sweep<E, width, Side::kQuery>(runtime, forward, task);
    sweep<E, width, Side::kKey>(runtime, forward, task);
  });
  // Float32 sums of kLocal are the gradients.
  if (!shared && dquery.raw() == args.dquery.raw()) return;
  const int64_t count = forward.layout.rows() * pattern.heads;
  const Gradients<E> gradients{.dquery = args.dquery.data<E>(),
                               .dkey = args.dkey.data<E>(),
                               .dvalue = args.dvalue.data<E>()};
  launch(runtime, finish_gradients<E>,
         dim3(static_cast<unsigned>(divide_up(count, kTileThreads / kWarp))), dim3(kTileThreads), 0,
         task, count, gradients);
}

}  // namespace
}  // namespace simt

void attention_simt_backward(Runtime& runtime, const AttentionBackwardArgs& args) {
  const Workspace::Mark mark(runtime.workspace());
  with_element_type(args.forward.query.dtype(), [&](auto element) {
    simt::differentiate_attention<decltype(element)>(runtime, args);
  });
}

}  // namespace reformer::cuda
