// Attention without tensor cores, backward: two sweeps over the scores, so that every gradient has
// one writer. In the first a block owns queries and adds up what they get from the keys they see;
// in the second it owns keys and adds up what they get from the queries that see them. Both sweeps
// are the same walk with the sides swapped. A side has two vectors for each token: a query and the
// gradient of its output, or a unit key and its value. Each round has gradients of its own; the
// whole adds up parts (attention_combine.cu).
#include "kernels/cuda/attention_combine.h"
#include "kernels/cuda/attention_simt.cuh"
#include "kernels/cuda/attention_simt.h"

namespace reformer::cuda {
namespace simt {
namespace {

template <typename E>
struct BackwardTask {
  Inputs<E> in;
  float dropout_scale;
  const E* dout;
  const float* lse;     // numbers
  const float* deltas;  // numbers: dout·out
  // [pairs, R, own, D]:
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

/// The gradients of the lanes' vectors in their round.
template <typename E, int kWidth, Side kLaneSide>
__global__ void __launch_bounds__(kTileThreads, kWidth <= 64 ? 3 : 2)
    add_gradients(BackwardTask<E> task) {
  constexpr bool kOwnsKeys = kLaneSide == Side::kKey;
  constexpr Side kPanelSide = kOwnsKeys ? Side::kQuery : Side::kKey;
  extern __shared__ __align__(16) unsigned char shared_memory[];
  auto& tile = *reinterpret_cast<BackwardTile<kWidth>*>(shared_memory);
  const Inputs<E>& in = task.in;
  const TileBlock block(in.tables, in.width);
  const auto load_query = [&](auto& rows, int row, int64_t number) {
    rows.offset[row] = task.lse[number];
    rows.delta[row] = task.deltas[number];
  };
  in.load_lanes(tile.lanes, tile.reach, kLaneSide, block,
                [&](int row, int64_t number) { load_query(tile.lanes, row, number); });
  __syncthreads();
  const int2 hull = tile.reach.hull();
  const int column = block.columns * kWidth;
  const TokenRows<E> queries = in.rows(in.query, block.place);
  const TokenRows<E> keys = in.rows(in.key, block.place);
  const TokenRows<E> douts = in.rows(task.dout, block.place);
  const TokenRows<E> values = in.rows(in.value, block.place);
  const SideVectors<E> scored_lanes{kOwnsKeys ? keys : queries, tile.lanes.token, tile.lanes.scale};
  const SideVectors<E> valued_lanes{kOwnsKeys ? values : douts, tile.lanes.token, nullptr};
  const SideVectors<E> scored_panel{kOwnsKeys ? queries : keys, tile.panel.token, tile.panel.scale};
  const SideVectors<E> valued_panel{kOwnsKeys ? douts : values, tile.panel.token, nullptr};
  const auto unchanged = [](int, float weight) { return weight; };
  LaneSums<kWidth> scored_sums;
  LaneSums<kWidth> valued_sums;
  for (int first = hull.x; first < hull.y; first += kPanel) {
    const int rows = min(hull.y - first, kPanel);
    // Nobody reads the panel of before: all are past the barrier before the last sums.
    in.load_rows(tile.panel, kPanelSide, block.place, first, rows,
                 [&](int row, int64_t number) { load_query(tile.panel, row, number); });
    const TileProducts scores = multiply_sides(scored_lanes, scored_panel, tile.slices);
    weigh_pairs<kLaneSide>(scores, tile.lanes, tile.reach, tile.panel, first, tile.weights);
    if (in.rules.any()) {
      __syncthreads();
      apply_rules<kLaneSide>(in.rules, in.tables, block.place, tile.lanes, tile.panel, rows,
                             tile.weights);
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
  scored_sums.store(kOwnsKeys ? task.dkey : task.dquery, in.width, block, column, task.whole_sums);
  if (kOwnsKeys) valued_sums.store(task.dvalue, in.width, block, column, task.whole_sums);
}

// ---- shared queries and keys -----------------------------------------------------------------

/// One warp for each own slot: the gradient of the unit key passes through its normalisation, and
/// is added to that of the query. Grid (slots, pairs, rounds).
template <typename E>
__global__ void __launch_bounds__(kTileThreads) add_key_gradients(BackwardTask<E> task) {
  const Inputs<E>& in = task.in;
  const PairPlace place(in.tables, in.width, static_cast<int>(blockIdx.z));
  const int slot = in.tables.own_begin + static_cast<int>(blockIdx.x) * (kTileThreads / kWarp) +
                   static_cast<int>(threadIdx.x) / kWarp;
  if (slot >= in.tables.own_end) return;
  const int row = RoundSlots(in.tables, place).row(slot);
  const int token = row < 0 ? ~row : row;
  const float factor = in.key_factor(in.number(place, token));
  const E* const key = in.key + place.activation + static_cast<int64_t>(token) * place.stride;
  const int64_t result = (place.results + slot) * in.width;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float along = 0;
  for (int i = lane; i < in.width; i += kWarp) {
    along = __fmaf_rn(task.dkey[result + i], factor * load(key + i), along);
  }
  along = warp_sum(along);
  for (int i = lane; i < in.width; i += kWarp) {
    const float across = __fmaf_rn(-along, factor * load(key + i), task.dkey[result + i]);
    task.dquery[result + i] = __fmaf_rn(across, factor, task.dquery[result + i]);
  }
}

// ---- host ------------------------------------------------------------------------------------

/// Where the gradients of a group go, [pairs, R, own, D]; dkey if kLocal only.
struct GroupGradients {
  View dquery;
  View dkey;
  View dvalue;
};

/// Outputs' gradients, and numbers as AttentionFrame says.
struct OutputGradients {
  View dout;
  View lse;
  View deltas;
};

template <typename E>
void differentiate_group(Runtime& runtime, const AttentionFrame& frame, PairGroup pairs,
                         const Inputs<E>& inputs, const OutputGradients& outputs,
                         const GroupGradients& gradients) {
  const int64_t width = frame.pattern.head_dim;
  const bool shared = has_shared_query_key(frame.pattern.kind);
  const View dkey = shared ? allocate_results(runtime, frame, pairs, width) : gradients.dkey;
  BackwardTask<E> task{.in = inputs,
                       .dropout_scale = frame.dropout.scale(),
                       .dout = outputs.dout.data<E>(),
                       .lse = outputs.lse.data<float>(),
                       .deltas = outputs.deltas.data<float>(),
                       .dquery = gradients.dquery.data<float>(),
                       .dkey = dkey.data<float>(),
                       .dvalue = gradients.dvalue.data<float>(),
                       .whole_sums = whole_chunks(
                           width, 4, {gradients.dquery.raw(), dkey.raw(), gradients.dvalue.raw()})};
  task.in.whole = task.in.whole && whole_chunks(width, kTokenChunk, {outputs.dout.raw()});
  with_tile_width(width, [&](auto tile_width) {
    const auto sweep = [&](void (*kernel)(BackwardTask<E>)) {
      launch(runtime, kernel, tile_grid(frame, pairs, tile_width), dim3(kTileThreads),
             sizeof(BackwardTile<tile_width>), task);
    };
    sweep(add_gradients<E, tile_width, Side::kQuery>);
    sweep(add_gradients<E, tile_width, Side::kKey>);
  });
  if (!shared) return;
  launch(runtime, add_key_gradients<E>,
         dim3(static_cast<unsigned>(divide_up(frame.own.size(), kTileThreads / kWarp)),
              static_cast<unsigned>(pairs.count), static_cast<unsigned>(frame.pattern.rounds)),
         dim3(kTileThreads), 0, task);
}

/// differentiate(E{}, group, tables, key lengths) for all groups.
template <typename F>
void for_backward_groups(Runtime& runtime, const AttentionFrame& frame, const F& differentiate) {
  for_groups(runtime, frame, [&](auto element, PairGroup pairs, const View& lengths) {
    const SlotTables tables =
        make_slot_tables(runtime, frame, pairs, {.seeing = true, .token_slot = !frame.is_part});
    differentiate(pairs, tables, Inputs<decltype(element)>(frame, tables, lengths));
  });
}

}  // namespace
}  // namespace simt

void attention_simt_backward(Runtime& runtime, const AttentionBackwardArgs& args) {
  const Workspace::Mark mark(runtime.workspace());
  const AttentionFrame frame(args.forward);
  const View deltas = make_deltas(runtime, args);
  simt::for_backward_groups(
      runtime, frame, [&](PairGroup pairs, const SlotTables& tables, const auto& inputs) {
        const auto results = [&] {
          return simt::allocate_results(runtime, frame, pairs, frame.pattern.head_dim);
        };
        const simt::GroupGradients parts{.dquery = results(),
                                         .dkey = args.dkey.defined() ? results() : View(),
                                         .dvalue = results()};
        simt::differentiate_group(runtime, frame, pairs, inputs,
                                  {.dout = args.dout, .lse = args.forward.lse, .deltas = deltas},
                                  parts);
        combine_gradients_of(runtime,
                             {.layout = args.forward.layout,
                              .pattern = frame.pattern,
                              .row = simt::slots_of_tokens(frame, tables, pairs),
                              .query_parts = parts.dquery,
                              .key_parts = parts.dkey,
                              .value_parts = parts.dvalue,
                              .dout = args.dout,
                              .lse = args.forward.lse,
                              .dquery = args.dquery,
                              .dkey = args.dkey,
                              .dvalue = args.dvalue},
                             pairs, frame.results());
      });
}

void attention_part_simt_backward(Runtime& runtime, const AttentionPartBackwardArgs& args) {
  const AttentionFrame frame(args.forward);
  simt::for_backward_groups(
      runtime, frame, [&](PairGroup pairs, const SlotTables&, const auto& inputs) {
        const auto of_group = [&](const View& gradients) {
          return gradients.defined() ? gradients.rows(pairs.first, pairs.first + pairs.count)
                                     : View();
        };
        simt::differentiate_group(runtime, frame, pairs, inputs,
                                  {.dout = args.dout, .lse = args.lse, .deltas = args.delta},
                                  {.dquery = of_group(args.dquery),
                                   .dkey = of_group(args.dkey),
                                   .dvalue = of_group(args.dvalue)});
      });
}

}  // namespace reformer::cuda
