// The backward kernel of attention on tensor cores. A block has 64 slots of one round and is the
// only one that writes their gradients. It walks twice: over the queries that see its keys, which
// gives the gradients of values and keys, and over the keys that its queries see, which gives those
// of queries. Shared query-keys add both up in registers.
//
// Weights come back from the lse of all rounds, w = exp(score − lse) with Σ_r Σ_j w = 1, so rounds
// need nothing of their own; and d(loss)/d(score) = w · (dropout(dout·v) − dout·out).
#pragma once

#include "kernels/cuda/attention_mma_backward_memory.cuh"
#include "kernels/cuda/attention_mma_sums.cuh"

namespace reformer::cuda {

template <int D, PairWork kWork>
class BackwardBlock {
 public:
  __device__ __forceinline__ BackwardBlock(const AttentionBackwardBlockArgs& args,
                                           std::byte* shared)
      : args_(args),
        block_(args.block),
        memory_(shared, kWork == PairWork::kDuplicates ? args.block.rounds : 0),
        place_(*memory_.place),
        slots_(block_.tables, place_),
        first_slot_(block_.tables.own_begin + static_cast<int>(blockIdx.x) * kBlockSlots),
        warp_row_(static_cast<int>(threadIdx.x) / kWarp * kSubBlock) {}

  __device__ __forceinline__ void run() {
    describe_block();
    const bool shared = block_.shared_query_key;
    if (memory_.path->steps() > 0) next_row_ = fetch_row(0);
    load_own();
    load_step(0);
    load_step(1);
    wait_for_copies<2>();
    __syncthreads();

    add_all_queries();
    if (shared) {
      project_key_gradients();
    } else {
      store_key_gradients();
      load_own_queries();
    }
    hold_own_queries();
    add_all_keys();
    store_rows(gradients_, args_.dquery);
  }

 private:
  using Tile = SharedTile<D>;
  using Stage = typename BackwardMemory<D>::Stage;
  static constexpr int kMovingRows = moving_rows(D);
  static constexpr int kDepth = D / 16;
  /// The block's own A fragments stay in registers where there is room.
  static constexpr bool kHolds = D <= 64;
  static constexpr int kHeld = kHolds ? kDepth : 1;

  // ---- the block's own slots ----

  __device__ __forceinline__ void describe_block() {
    const int row = static_cast<int>(threadIdx.x);
    const int slot = first_slot_ + row;
    if (row == 0) *memory_.place = PairPlace(block_.tables, D, block_.round);
    __syncthreads();
    if (row < kBlockSlots) describe(row, slot < slots_.length());
    __syncthreads();
    choose_path();
    if (first_slot_ + kBlockSlots <= slots_.length()) return;
    // Behind the round's end stand those of the next round: nobody to write for, but seen by, or
    // seeing, others here.
    if (row < kBlockSlots && slot >= slots_.length()) {
      describe(row, contains(memory_.path->seen, slot) || contains(memory_.path->seeing, slot));
    }
    __syncthreads();
  }

  __device__ __forceinline__ void choose_path() const {
    const int own = first_slot_ / kMovingRows;
    const int own_end = block_.shared_query_key ? own + kBlockSlots / kMovingRows : own;
    const int2 seeing = hull_of_block(memory_.seeing);
    const int2 seen = hull_of_block(memory_.seen);
    if (threadIdx.x == 0) {
      *memory_.path = {.seeing = seeing,
                       .seen = seen,
                       .queries = TileWalk(seeing, kMovingRows, own, own_end),
                       .keys = TileWalk(seen, kMovingRows, own, own_end)};
    }
    __syncthreads();
  }

  __device__ __forceinline__ void describe(int row, bool exists) const {
    const int slot = first_slot_ + row;
    const int2 nothing = make_int2(first_slot_, first_slot_);
    const int token = exists ? slots_.row(slot) : kNoRow;
    const bool counts = token >= 0;
    memory_.row[row] = token;
    memory_.position[row] = exists ? *slots_.position(slot) : kMaskedPosition;
    memory_.round[row] = exists ? slots_.round(slot) : 0;
    memory_.seen[row] = exists ? slots_.seen(slot) : nothing;
    memory_.seeing[row] = exists && slot < slots_.length() ? slots_.seeing(slot) : nothing;
    const int64_t number = slots_.number(max(token, 0));
    memory_.key_scale[row] = counts ? block_.key_scale[number] : 0.0f;
    memory_.lse[row] = counts ? args_.lse[number] : 0.0f;
    memory_.delta[row] = counts ? args_.delta[number] : 0.0f;
    if constexpr (kWork == PairWork::kDuplicates) {
#pragma unroll 1
      for (int round = 0; round < block_.rounds; ++round) {
        memory_.seen_in[round * kBlockSlots + row] =
            counts ? *slots_.token_seen(round, token) : nothing;
        memory_.slot_in[round * kBlockSlots + row] = counts ? *slots_.token_slot(round, token) : 0;
      }
    }
  }

  __device__ __forceinline__ void gather_own(std::byte* tile, const __nv_bfloat16* from) const {
    gather_tile<D, kBlockSlots>(shared_address(tile), from + place_.activation, place_.stride,
                                memory_.row[warp_row_ + static_cast<int>(threadIdx.x) % kSubBlock]);
  }

  __device__ __forceinline__ void load_own() const {
    gather_own(memory_.scored, block_.key);
    gather_own(memory_.values, block_.value);
    gather_own(memory_.douts, args_.dout);
    commit_copies();
  }

  /// kLocal: queries take the place of keys.
  __device__ __forceinline__ void load_own_queries() const {
    __syncthreads();
    gather_own(memory_.scored, block_.query);
    commit_copies();
    wait_for_copies<0>();
    __syncthreads();
  }

  __device__ __forceinline__ void hold(uint32_t (&fragments)[kHeld][4], const std::byte* tile) {
    if constexpr (kHolds) {
#pragma unroll
      for (int k = 0; k < kDepth; ++k) {
        Tile::load_a(fragments[k], shared_address(tile), warp_row_, k);
      }
    }
  }

  __device__ __forceinline__ void hold_own_queries() {
    if (!block_.shared_query_key) hold(scored_, memory_.scored);
    hold(valued_, memory_.douts);
  }

  __device__ __forceinline__ int lane_row(int row) const {
    return warp_row_ + static_cast<int>(threadIdx.x) % kWarp / 4 + 8 * row;
  }

  // ---- tiles that pass by ----

  __device__ __forceinline__ int moving_row() const {
    constexpr int kWarpRows = kMovingRows / kBlockWarps;
    return static_cast<int>(threadIdx.x) / kWarp * kWarpRows +
           static_cast<int>(threadIdx.x) % kWarpRows;
  }

  /// The token in this lane's row of a tile, kNoRow if nobody here needs it.
  __device__ __forceinline__ int fetch_row(int step) const {
    const int slot = memory_.path->tile(step) * kMovingRows + moving_row();
    return contains(memory_.path->slots(step), slot) ? slots_.row(slot) : kNoRow;
  }

  __device__ __forceinline__ void load_step(int step) {
    const int steps = memory_.path->steps();
    if (step < steps) load(step, next_row_);
    if (step + 1 < steps) next_row_ = fetch_row(step + 1);
    commit_copies();
  }

  __device__ __forceinline__ void load(int step, int token) const {
    const Stage stage = memory_.stage(step);
    const bool is_query = memory_.path->is_query(step);
    const __nv_bfloat16* scored = is_query ? block_.query : block_.key;
    const __nv_bfloat16* valued = is_query ? args_.dout : block_.value;
    gather_tile<D, kMovingRows>(shared_address(stage.scored), scored + place_.activation,
                                place_.stride, token);
    gather_tile<D, kMovingRows>(shared_address(stage.valued), valued + place_.activation,
                                place_.stride, token);
    if (static_cast<int>(threadIdx.x) % kWarp >= kMovingRows / kBlockWarps) return;
    const int row = moving_row();
    const int64_t number = slots_.number(max(token, 0));
    const int slot = memory_.path->tile(step) * kMovingRows + row;
    copy_async_4(stage.position + row, slots_.position(token == kNoRow ? first_slot_ : slot),
                 token != kNoRow);
    if (is_query) {
      stage.seen[row] = token < 0 ? make_int2(slot, slot) : slots_.seen(slot);
      if constexpr (kWork != PairWork::kPlain) stage.round[row] = slots_.round(slot);
      copy_async_4(stage.lse + row, args_.lse + number, token >= 0);
      copy_async_4(stage.delta + row, args_.delta + number, token >= 0);
    } else {
      copy_async_4(stage.key_scale + row, block_.key_scale + number, token >= 0);
    }
    if constexpr (kWork == PairWork::kDuplicates) load_counted(stage, is_query, row, token);
  }

  __device__ __forceinline__ void load_counted(const Stage& stage, bool is_query, int row,
                                               int token) const {
#pragma unroll 1
    for (int round = 0; round < block_.rounds; ++round) {
      const int at = round * kMovingRows + row;
      if (is_query) {
        copy_async_8(stage.seen_in + at, slots_.token_seen(round, max(token, 0)), token >= 0);
      } else {
        copy_async_4(stage.slot_in + at, slots_.token_slot(round, max(token, 0)), token >= 0);
      }
    }
  }

  /// Shared query-keys begin each walk with the block's own slots, a step before the first.
  __device__ __forceinline__ int first_step(int step) const {
    return block_.shared_query_key ? step - 1 : step;
  }

  /// Calls add(stage, first slot, rows) for the block's own slots, or for the tile of `step`.
  template <typename Add>
  __device__ __forceinline__ void walk(bool is_own, int step, const Stage& own, const Add& add) {
    if (!is_own) {
      wait_for_copies<1>();
      __syncthreads();
    }
    add(is_own ? own : memory_.stage(step),
        is_own ? first_slot_ : memory_.path->tile(step) * kMovingRows,
        is_own ? kBlockSlots : kMovingRows);
    if (!is_own) {
      __syncthreads();
      load_step(step + 2);
    }
  }

  // ---- one sub-block ----

  /// Products of the block's rows with 16 rows of a tile: scores before their scale, and dout·v.
  __device__ __forceinline__ void multiply_rows(const Stage& stage, int first,
                                                const std::byte* own_valued, PairTile& scores,
                                                PairTile& products) {
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      const int held = kHolds ? k : 0;
      if constexpr (!kHolds) {
        Tile::load_a(scored_[0], shared_address(memory_.scored), warp_row_, k);
        Tile::load_a(valued_[0], shared_address(own_valued), warp_row_, k);
      }
      uint32_t b[4];
      Tile::load_b_transposed(b, shared_address(stage.scored), first, k);
      multiply_add(scores[0], scored_[held], b[0], b[1]);
      multiply_add(scores[1], scored_[held], b[2], b[3]);
      Tile::load_b_transposed(b, shared_address(stage.valued), first, k);
      multiply_add(products[0], valued_[held], b[0], b[1]);
      multiply_add(products[1], valued_[held], b[2], b[3]);
    }
  }

  /// Turns scores · log2 e into weights, and products into d(loss)/d(score).
  template <typename LogSums, typename Deltas>
  __device__ __forceinline__ void weigh(const LanePairs& pairs, const LogSums& lse,
                                        const Deltas& delta, PairTile& scores,
                                        PairTile& products) const {
    for_lane_pairs([&](int half, int e) {
      float weight = exp2_approximate(scores[half][e] - lse(half, e) * kLog2E);
      if (kWork == PairWork::kDuplicates) weight = __fdividef(weight, pairs.counts(half, e));
      if (!pairs.all_visible && !holds(pairs.visible, half, e)) weight = 0;
      float product = products[half][e];
      if (kWork != PairWork::kPlain) {
        product = holds(pairs.kept, half, e) ? product * block_.rules.dropout_scale : 0.0f;
      }
      scores[half][e] = weight;
      products[half][e] = weight * (product - delta(half, e));
    });
  }

  // ---- first walk: rows are keys, columns are queries that see them ----

  __device__ __forceinline__ void add_all_queries() {
    hold(scored_, memory_.scored);
    hold(valued_, memory_.values);
    RowSums<D> dvalue = {};
    for (int step = first_step(0); memory_.path->is_query(step); ++step) {
      walk(step < 0, step, memory_.own_as_queries(),
           [&](const Stage& stage, int slot, int rows) { add_queries(stage, slot, rows, dvalue); });
    }
    if (kWork != PairWork::kPlain) {
      scale_rows<D>(block_.rules.dropout_scale, block_.rules.dropout_scale, dvalue);
    }
    if (block_.round == 0 && block_.shared_query_key && !block_.is_part) add_own_values(dvalue);
    store_rows(dvalue, args_.dvalue);
  }

  __device__ __forceinline__ void add_queries(const Stage& stage, int slot, int rows,
                                              RowSums<D>& dvalue) {
    const WarpRange seeing(memory_.seeing + warp_row_);
    const int warp_slot = first_slot_ + warp_row_;
#pragma unroll 1
    for (int first = 0; first < rows; first += kSubBlock) {
      if (seeing.misses(slot + first)) continue;
      const WarpRange seen(stage.seen + first);
      if (seen.misses(warp_slot)) continue;
      const SubBlockQueries queries{.seen = stage.seen + first,
                                    .position = stage.position + first,
                                    .round = stage.round + first,
                                    .seen_in = stage.seen_in + first,
                                    .stride = rows};
      const SubBlockKeys keys{.slot = warp_slot,
                              .position = memory_.position + warp_row_,
                              .slot_in = memory_.slot_in + warp_row_,
                              .stride = kBlockSlots};
      const LanePairs pairs = classify<kWork, false>(
          block_.rules, place_, covers(seen, warp_slot, slot + first), queries, keys);
      PairTile scores = {};
      PairTile products = {};
      multiply_rows(stage, first, memory_.values, scores, products);
      const LaneValues<true, float> scale(memory_.key_scale + warp_row_);
      for_lane_pairs([&](int half, int e) { scores[half][e] *= scale(half, e) * kLog2E; });
      weigh(pairs, LaneValues<false, float>(stage.lse + first),
            LaneValues<false, float>(stage.delta + first), scores, products);
      if (kWork != PairWork::kPlain) {
        for_lane_pairs([&](int half, int e) {
          if (!holds(pairs.kept, half, e)) scores[half][e] = 0;
        });
      }
      uint32_t rounded[4];
      round_to_fragment(scores, rounded);
      add_product<D>(dvalue, rounded, shared_address(stage.valued), first);
      round_to_fragment(products, rounded);
      add_product<D>(gradients_, rounded, shared_address(stage.scored), first);
    }
  }

  /// All queries see all keys, and nothing else is asked.
  __device__ __forceinline__ bool covers(const WarpRange& seen, int key_slot,
                                         int query_slot) const {
    return seen.covers(key_slot) && !block_.rules.check_everywhere &&
           (key_slot + kSubBlock <= query_slot || query_slot + kSubBlock <= key_slot);
  }

  /// A token that saw nobody else has its own value as output.
  __device__ __forceinline__ void add_own_values(RowSums<D>& dvalue) const {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      if (memory_.lse[lane_row(row)] != kSelfScore) continue;
      add_row<D>(shared_address(memory_.douts), lane_row(row), row, dvalue);
    }
  }

  // ---- between the walks ----

  __device__ __forceinline__ void project_key_gradients() {
    const uint32_t keys = shared_address(memory_.scored);
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      project_row<D>(keys, lane_row(row), memory_.key_scale[lane_row(row)], row, gradients_);
    }
  }

  __device__ __forceinline__ void store_key_gradients() {
    scale_rows<D>(memory_.key_scale[lane_row(0)], memory_.key_scale[lane_row(1)], gradients_);
    store_rows(gradients_, args_.dkey);
    clear_rows<D>(gradients_);
  }

  // ---- second walk: rows are queries, columns are keys that they see ----

  __device__ __forceinline__ void add_all_keys() {
    const int queries = memory_.path->queries.count();
    for (int step = first_step(queries); step < memory_.path->steps(); ++step) {
      walk(step < queries, step, memory_.own_as_keys(),
           [&](const Stage& stage, int slot, int rows) { add_keys(stage, slot, rows); });
    }
    wait_for_copies<0>();
  }

  __device__ __forceinline__ void add_keys(const Stage& stage, int slot, int rows) {
    const WarpRange seen(memory_.seen + warp_row_);
    const int warp_slot = first_slot_ + warp_row_;
#pragma unroll 1
    for (int first = 0; first < rows; first += kSubBlock) {
      if (seen.misses(slot + first)) continue;
      const SubBlockQueries queries{.seen = memory_.seen + warp_row_,
                                    .position = memory_.position + warp_row_,
                                    .round = memory_.round + warp_row_,
                                    .seen_in = memory_.seen_in + warp_row_,
                                    .stride = kBlockSlots};
      const SubBlockKeys keys{.slot = slot + first,
                              .position = stage.position + first,
                              .slot_in = stage.slot_in + first,
                              .stride = rows};
      const LanePairs pairs = classify<kWork, true>(
          block_.rules, place_, covers(seen, slot + first, warp_slot), queries, keys);
      PairTile scores = {};
      PairTile products = {};
      multiply_rows(stage, first, memory_.douts, scores, products);
      const LaneValues<false, float> scale(stage.key_scale + first);
      for_lane_pairs([&](int half, int e) { scores[half][e] *= scale(half, e) * kLog2E; });
      weigh(pairs, LaneValues<true, float>(memory_.lse + warp_row_),
            LaneValues<true, float>(memory_.delta + warp_row_), scores, products);
      for_lane_pairs([&](int half, int e) { products[half][e] *= scale(half, e); });
      uint32_t rounded[4];
      round_to_fragment(products, rounded);
      add_product<D>(gradients_, rounded, shared_address(stage.scored), first);
    }
  }

  // ---- results ----

  __device__ __forceinline__ void store_rows(RowSums<D>& rows, const RoundGradients& to) const {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
      const int slot = first_slot_ + lane_row(row);
      if (slot >= slots_.length()) continue;
      if (block_.is_part) {
        store_row<D>(rows, row, to.sums + (place_.results + slot) * D);
        continue;
      }
      const int token = memory_.row[lane_row(row)];
      const int64_t position = token < 0 ? ~token : token;
      float* sum =
          to.sums + (static_cast<int64_t>(place_.in_group) * slots_.length() + position) * D;
      if (block_.round > 0) add_row<D>(sum, row, rows);
      if (block_.round + 1 < block_.rounds) {
        store_row<D>(rows, row, sum);
      } else {
        store_row<D>(rows, row, to.out + place_.activation + position * place_.stride);
      }
    }
  }

  const AttentionBackwardBlockArgs& args_;
  const AttentionBlockArgs& block_;
  const BackwardMemory<D> memory_;
  const PairPlace& place_;
  const RoundSlots slots_;
  const int first_slot_;
  const int warp_row_;  // first of the warp's 16
  int next_row_ = 0;

  uint32_t scored_[kHeld][4];  // the block's keys, then its queries
  uint32_t valued_[kHeld][4];  // its values, then its output gradients
  RowSums<D> gradients_ = {};  // of its unit keys, then of its queries, with those of shared keys
};

}  // namespace reformer::cuda
