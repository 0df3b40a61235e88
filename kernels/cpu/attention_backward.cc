// Attention, backward: two sweeps over the scores, so that every gradient has one writer. In the
// first a task owns queries and adds up what they get from the keys they see; in the second it owns
// keys and adds up what they get from the queries that see them. Both sweeps are the same walk with
// the sides swapped.
#include <algorithm>
#include <memory>

#include "kernels/cpu/attention_slots.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/rows.h"
#include "kernels/op_checks.h"

namespace reformer::cpu {
namespace {

/// Scratch memory of one thread. A side has two vectors for each token: a query and the gradient of
/// its output, or a key and its value.
struct Workspace {
  Workspace(Carver& carver, const AttentionArgs& args)
      : lanes(carve_slot_rows(carver, kSegmentSlots, args)),
        panel(carve_slot_rows(carver, kPanelSlots, args)),
        width(padded_width(args.pattern.head_dim)),
        tile(carver.floats(kTileLanes * width)),
        norms(carver.floats(kPanelSlots)),
        scored_columns(carver.floats(kSegmentSlots * width)),
        valued_columns(carver.floats(kSegmentSlots * width)),
        scored_sums(carver.floats(kSegmentSlots * width)),
        valued_sums(carver.floats(kSegmentSlots * width)),
        scored_rows(carver.floats(kPanelSlots * width)),
        valued_rows(carver.floats(kPanelSlots * width)),
        scores(carver.floats(kPanelSlots * kTileLanes)),
        gradients(carver.floats(kPanelSlots * kTileLanes)) {}

  SlotRows lanes;  // of the segment
  SlotRows panel;
  int64_t width;
  float* tile;            // [kTileLanes, width]
  float* norms;           // [kPanelSlots], inverse, of the keys gathered last
  float* scored_columns;  // [kSegmentTiles, width, kTileLanes]: queries or keys
  float* valued_columns;  // [kSegmentTiles, width, kTileLanes]: output gradients or values
  float* scored_sums;     // [kSegmentSlots, width]: gradients of the queries or unit keys
  float* valued_sums;     // [kSegmentSlots, width]: gradients of the values
  float* scored_rows;     // [kPanelSlots, width]
  float* valued_rows;     // [kPanelSlots, width]
  float* scores;          // [kPanelSlots, kTileLanes]
  float* gradients;       // [kPanelSlots, kTileLanes]
};

/// What the tasks of one call share.
struct Backward {
  Backward(ThreadPool& thread_pool, const AttentionBackwardArgs& arguments)
      : pool(thread_pool),
        args(arguments),
        tokens(pool, args.forward),
        deltas(std::make_unique_for_overwrite<float[]>(
            static_cast<size_t>(args.forward.lse.elements()))) {}

  ThreadPool& pool;
  const AttentionBackwardArgs& args;
  const TokenSlots tokens;
  const std::unique_ptr<float[]> deltas;  // [B, H, T]: dout·out
};

/// The work on one segment.
class Task {
 public:
  Task(Backward& op, const Segment& segment, int thread)
      : args_(op.args),
        forward_(op.args.forward),
        pattern_(op.args.forward.pattern),
        segment_(segment),
        work_(carve_workspace<Workspace>(op.pool, thread, op.args.forward)),
        slots_(op.args.forward, op.tokens, segment.sample, segment.head),
        count_(segment.slots()) {
    const int64_t list = segment.sample * pattern_.heads + segment.head;
    deltas_ = op.deltas.get() + list * forward_.layout.length;
    lse_ = forward_.lse.data<float>() + list * forward_.layout.length;
  }

  void add_query_gradients(bool first_round) {
    load_query_slots(segment_.begin, segment_.end, work_.lanes);
    gather_lanes([&](int64_t first, int64_t count,
                     float* tile) { gather_rows(queries(work_.lanes, first, count), tile); },
                 args_.dout);
    walk(
        true,
        [&](int64_t begin, int64_t end) {
          slots_.load(Side::kKey, begin, end, work_.panel);
          gather_keys(pattern_, slots_.tokens(key(), work_.panel, 0, end - begin),
                      work_.scored_rows, work_.norms);
          gather_rows(slots_.tokens(forward_.value, work_.panel, 0, end - begin),
                      work_.valued_rows);
        },
        [&](int64_t tile, int64_t first, int64_t rows) {
          add_product(work_.gradients, work_.scored_rows, work_.scored_sums, tile, first, rows);
        });
    TokenRows to = slots_.tokens(args_.dquery, work_.lanes, 0, count_);
    to.scale = query_scale(pattern_);
    scatter_rows(work_.scored_sums, to, !first_round);
  }

  void add_key_gradients(bool first_round) {
    slots_.load(Side::kKey, segment_.begin, segment_.end, work_.lanes);
    const auto gather_unit_keys = [&](int64_t first, int64_t count, float* tile) {
      gather_keys(pattern_, slots_.tokens(key(), work_.lanes, first, count), tile, work_.norms);
    };
    gather_lanes(gather_unit_keys, forward_.value);
    std::fill(work_.valued_sums, work_.valued_sums + kSegmentSlots * work_.width, 0.0f);
    if (first_round) add_own_values();
    walk(
        false,
        [&](int64_t begin, int64_t end) {
          load_query_slots(begin, end, work_.panel);
          gather_rows(queries(work_.panel, 0, end - begin), work_.scored_rows);
          gather_rows(slots_.tokens(args_.dout, work_.panel, 0, end - begin), work_.valued_rows);
        },
        [&](int64_t tile, int64_t first, int64_t rows) {
          add_product(work_.gradients, work_.scored_rows, work_.scored_sums, tile, first, rows);
          add_product(work_.scores, work_.valued_rows, work_.valued_sums, tile, first, rows);
        });
    scatter_rows(work_.valued_sums, slots_.tokens(args_.dvalue, work_.lanes, 0, count_),
                 !first_round);
    if (has_shared_query_key(pattern_.kind)) {
      for_tiles([&](int64_t first, int64_t count) {
        gather_unit_keys(first, count, work_.tile);
        unit_rows_backward(work_.tile, work_.norms, count, work_.width,
                           work_.scored_sums + first * work_.width);
      });
      scatter_rows(work_.scored_sums, slots_.tokens(args_.dquery, work_.lanes, 0, count_), true);
    } else {
      scatter_rows(work_.scored_sums, slots_.tokens(args_.dkey, work_.lanes, 0, count_),
                   !first_round);
    }
  }

 private:
  const View& key() const { return forward_.key.defined() ? forward_.key : forward_.query; }

  TokenRows queries(const SlotRows& rows, int64_t first, int64_t count) const {
    TokenRows tokens = slots_.tokens(forward_.query, rows, first, count);
    tokens.scale = query_scale(pattern_);
    return tokens;
  }

  void load_query_slots(int64_t begin, int64_t end, SlotRows& rows) const {
    slots_.load(Side::kQuery, begin, end, rows);
    for (int64_t i = 0; i < end - begin; ++i) {
      rows.offset[i] = lse_[rows.position[i]];
      rows.delta[i] = deltas_[rows.position[i]];
    }
  }

  template <typename Body>
  void for_tiles(const Body& body) const {
    for (int64_t first = 0; first < count_; first += kTileLanes) {
      body(first, std::min(kTileLanes, count_ - first));
    }
  }

  /// Loads both vectors of the segment's side.
  template <typename Gather>
  void gather_lanes(const Gather& gather_scored, const View& valued) {
    gather_columns(count_, work_.width, work_.tile, work_.scored_columns, gather_scored);
    gather_columns(count_, work_.width, work_.tile, work_.valued_columns,
                   [&](int64_t first, int64_t count, float* tile) {
                     gather_rows(slots_.tokens(valued, work_.lanes, first, count), tile);
                   });
  }

  /// A token that saw nobody else has its own value as output.
  void add_own_values() {
    if (!has_shared_query_key(pattern_.kind)) return;
    for (int64_t i = 0; i < count_; ++i) {
      if (lse_[work_.lanes.position[i]] != kSelfScore) continue;
      gather_rows(slots_.tokens(args_.dout, work_.lanes, i, 1),
                  work_.valued_sums + i * work_.width);
    }
  }

  /// Zeroes scored_sums and walks the other side: load(begin, end) gathers a panel, then for each
  /// tile that sees a part of it add(tile, first, rows) finds the weights in `scores` and the
  /// gradients of the scores in `gradients`.
  template <typename Load, typename Add>
  void walk(bool lanes_are_queries, const Load& load, const Add& add) {
    std::fill(work_.scored_sums, work_.scored_sums + kSegmentSlots * work_.width, 0.0f);
    TilePairs pairs = slots_.pairs();
    pairs.lanes = &work_.lanes;
    pairs.panel = &work_.panel;
    walk_panels(SegmentReach(work_.lanes, count_), load,
                [&](int64_t tile, int64_t first, int64_t rows) {
                  pairs.first_lane = tile * kTileLanes;
                  pairs.first_row = first;
                  pairs.rows = rows;
                  pair_up(work_.scored_rows, work_.scored_columns, pairs, work_.scores);
                  pair_up(work_.valued_rows, work_.valued_columns, pairs, work_.gradients);
                  weigh_backward(pairs, lanes_are_queries, work_.scores, work_.gradients);
                  add(tile, first, rows);
                });
  }

  /// Products of the vectors of panel rows and lanes.
  void pair_up(const float* rows, const float* columns, const TilePairs& pairs, float* result) {
    multiply({.rows = pairs.rows,
              .columns = kTileLanes,
              .depth = work_.width,
              .a = rows + pairs.first_row * work_.width,
              .a_row = work_.width,
              .a_step = 1,
              .b = columns + pairs.first_lane * work_.width,
              .b_stride = kTileLanes,
              .c = result,
              .c_stride = kTileLanes});
  }

  /// Adds the panel rows, weighted by a tile of coefficients, to the sums of its lanes.
  void add_product(const float* coefficients, const float* rows, float* sums, int64_t tile,
                   int64_t first, int64_t count) {
    multiply({.rows = kTileLanes,
              .columns = work_.width,
              .depth = count,
              .a = coefficients,
              .a_row = 1,
              .a_step = kTileLanes,
              .b = rows + first * work_.width,
              .b_stride = work_.width,
              .c = sums + tile * kTileLanes * work_.width,
              .c_stride = work_.width,
              .accumulate = true});
  }

  const AttentionBackwardArgs& args_;
  const AttentionArgs& forward_;
  const AttentionPattern& pattern_;
  Segment segment_;
  Workspace work_;
  HeadSlots slots_;
  int64_t count_;
  float* deltas_;     // [T], of this sample and head
  const float* lse_;  // [T]
};

}  // namespace

void attention_backward(ThreadPool& pool, const AttentionBackwardArgs& args) {
  check_attention_backward(args);
  CHECK_EQ(args.forward.query.dtype(), DType::kFloat32);
  Backward op(pool, args);
  const int64_t rounds = args.forward.pattern.rounds;
  for_head_dots(pool, args.forward, args.dout, args.forward.out,
                [&](int64_t i, float dot) { op.deltas[static_cast<size_t>(i)] = dot; });
  for (int64_t round = 0; round < rounds; ++round) {
    for_segments(pool, args.forward, round, [&](const Segment& segment, int thread) {
      Task(op, segment, thread).add_query_gradients(round == 0);
    });
  }
  for (int64_t round = 0; round < rounds; ++round) {
    for_segments(pool, args.forward, round, [&](const Segment& segment, int thread) {
      Task(op, segment, thread).add_key_gradients(round == 0);
    });
  }
}

}  // namespace reformer::cpu
