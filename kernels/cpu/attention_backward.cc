// Attention, backward. A task has some slots of a round to itself and walks over their scores
// twice: as queries they add up what they get from the keys they see, as keys what they get from
// the queries that see them. Both are the same walk with the sides swapped, and every gradient has
// one writer.
#include <algorithm>
#include <functional>
#include <memory>

#include "kernels/cpu/attention_combine.h"
#include "kernels/cpu/attention_slots.h"
#include "kernels/cpu/ops.h"
#include "kernels/op_checks.h"

namespace reformer::cpu {
namespace {

/// Scratch memory of one thread. A side has two vectors for each token: a query and the gradient of
/// its output, or a key and its value.
struct Workspace {
  Workspace(Carver& carver, const AttentionPattern& pattern)
      : lanes(carve_slot_rows(carver, kSegmentSlots, pattern)),
        panel(carve_slot_rows(carver, kPanelSlots, pattern)),
        width(padded_width(pattern.head_dim)),
        tile(carver.floats(kTileLanes * width)),
        norms(carver.floats(kPanelSlots)),
        scored_columns(carver.floats(kSegmentSlots * width)),
        valued_columns(carver.floats(kSegmentSlots * width)),
        query_sums(carver.floats(kSegmentSlots * width)),
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
  float* query_sums;      // [kSegmentSlots, width]: gradients of the queries
  float* scored_sums;     // [kSegmentSlots, width]: gradients of the keys, unit keys at first
  float* valued_sums;     // [kSegmentSlots, width]: gradients of the values
  float* scored_rows;     // [kPanelSlots, width]
  float* valued_rows;     // [kPanelSlots, width]
  float* scores;          // [kPanelSlots, kTileLanes]
  float* gradients;       // [kPanelSlots, kTileLanes]
};

/// What the tokens of one sample and head have from the forward pass and from the loss.
struct TokenOutputs {
  const View& dout;    // activation, of all samples and heads
  TokenScalars lse;    // of all rounds
  TokenScalars delta;  // dout·out
};

/// The work on one segment.
class Task {
 public:
  Task(ThreadPool& pool, const SlotProblem& problem, const Segment& segment,
       const TokenOutputs& outputs, int thread)
      : problem_(problem),
        pattern_(problem.pattern),
        outputs_(outputs),
        work_(carve_workspace<Workspace>(pool, thread, problem.pattern)),
        slots_(problem, segment),
        count_(segment.slots()) {}

  /// The gradients of the segment's tokens from their round, one row for each.
  struct Gradients {
    float* query;  // of shared queries and keys: as either
    float* key;    // kLocal only
    float* value;
  };

  Gradients find_gradients() {
    add_query_gradients();
    add_key_gradients();
    if (!has_shared_query_key(pattern_.kind)) {
      return {.query = work_.query_sums, .key = work_.scored_sums, .value = work_.valued_sums};
    }
    for_tiles([&](int64_t first, int64_t count) {
      gather_unit_keys(first, count, work_.tile);
      unit_rows_backward(work_.tile, work_.norms, count, work_.width,
                         work_.scored_sums + first * work_.width);
    });
    std::transform(work_.query_sums, work_.query_sums + count_ * work_.width, work_.scored_sums,
                   work_.query_sums, std::plus<float>());
    return {.query = work_.query_sums, .key = nullptr, .value = work_.valued_sums};
  }

  /// Adds what a token that saw nobody else gives to its own value.
  void add_own_values() {
    if (!has_shared_query_key(pattern_.kind)) return;
    add_own_value_gradients(
        tokens(outputs_.dout),
        [&](int64_t i) { return outputs_.lse[work_.lanes.row[i]] == kSelfScore; }, work_.width,
        work_.tile, work_.valued_sums);
  }

  TokenRows tokens(const View& activation) const {
    return slots_.tokens(activation, work_.lanes, 0, count_);
  }

 private:
  void add_query_gradients() {
    load_query_slots(slots_.own(), work_.lanes);
    gather_lanes([&](int64_t first, int64_t count,
                     float* tile) { gather_rows(queries(work_.lanes, first, count), tile); },
                 outputs_.dout);
    walk(
        true,
        [&](SlotRange panel) {
          slots_.load(Side::kKey, panel, work_.panel);
          gather_keys(pattern_, slots_.tokens(problem_.key, work_.panel, 0, panel.size()),
                      work_.scored_rows, work_.norms);
          gather_rows(slots_.tokens(problem_.value, work_.panel, 0, panel.size()),
                      work_.valued_rows);
        },
        work_.query_sums,
        [&](int64_t tile, int64_t first, int64_t rows) {
          add_product(work_.gradients, work_.scored_rows, work_.query_sums, tile, first, rows);
        });
  }

  void add_key_gradients() {
    slots_.load(Side::kKey, slots_.own(), work_.lanes);
    gather_lanes(
        [&](int64_t first, int64_t count, float* tile) { gather_unit_keys(first, count, tile); },
        problem_.value);
    std::fill(work_.valued_sums, work_.valued_sums + kSegmentSlots * work_.width, 0.0f);
    walk(
        false,
        [&](SlotRange panel) {
          load_query_slots(panel, work_.panel);
          gather_rows(queries(work_.panel, 0, panel.size()), work_.scored_rows);
          gather_rows(slots_.tokens(outputs_.dout, work_.panel, 0, panel.size()),
                      work_.valued_rows);
        },
        work_.scored_sums,
        [&](int64_t tile, int64_t first, int64_t rows) {
          add_product(work_.gradients, work_.scored_rows, work_.scored_sums, tile, first, rows);
          add_product(work_.scores, work_.valued_rows, work_.valued_sums, tile, first, rows);
        });
  }

  /// Of the segment; their inverse norms go to `norms`.
  void gather_unit_keys(int64_t first, int64_t count, float* tile) {
    gather_keys(pattern_, slots_.tokens(problem_.key, work_.lanes, first, count), tile,
                work_.norms);
  }

  TokenRows queries(const SlotRows& rows, int64_t first, int64_t count) const {
    TokenRows tokens = slots_.tokens(problem_.query, rows, first, count);
    tokens.scale = query_scale(pattern_);
    return tokens;
  }

  void load_query_slots(SlotRange slots, SlotRows& rows) const {
    slots_.load(Side::kQuery, slots, rows);
    for (int64_t i = 0; i < slots.size(); ++i) {
      rows.offset[i] = outputs_.lse[rows.row[i]];
      rows.delta[i] = outputs_.delta[rows.row[i]];
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

  /// Zeroes `sums` and walks the other side: load(slots) gathers a panel, then for each tile that
  /// sees a part of it add(tile, first, rows) finds the weights in `scores` and the gradients of
  /// the scores in `gradients`.
  template <typename Load, typename Add>
  void walk(bool lanes_are_queries, const Load& load, float* sums, const Add& add) {
    std::fill(sums, sums + kSegmentSlots * work_.width, 0.0f);
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

  const SlotProblem& problem_;
  const AttentionPattern& pattern_;
  const TokenOutputs& outputs_;
  Workspace work_;
  SegmentSlots slots_;
  int64_t count_;
};

}  // namespace

void attention_backward(ThreadPool& pool, const AttentionBackwardArgs& args) {
  check_attention_backward(args);
  const AttentionArgs& forward = args.forward;
  CHECK_EQ(forward.query.dtype(), DType::kFloat32);
  const SlotProblem problem(pool, forward);
  const int64_t heads = forward.pattern.heads;
  const int64_t length = forward.layout.length;
  const auto deltas =
      std::make_unique_for_overwrite<float[]>(static_cast<size_t>(forward.lse.elements()));
  head_products(pool,
                {.heads = heads,
                 .a = args.dout,
                 .b = forward.out,
                 .products = View(deltas.get(), DType::kFloat32, {forward.layout.rows(), heads})});
  const auto run = [&](const Segment& segment, int thread) {
    const int64_t first = segment.list / heads * length * heads + segment.list % heads;
    const TokenOutputs outputs{.dout = args.dout,
                               .lse = {.base = forward.lse.data<float>() + segment.list * length},
                               .delta = {.base = deltas.get() + first, .stride = heads}};
    Task task(pool, problem, segment, outputs, thread);
    const Task::Gradients gradients = task.find_gradients();
    const bool add = segment.round > 0;
    if (!add) task.add_own_values();
    TokenRows queries = task.tokens(args.dquery);
    queries.scale = query_scale(forward.pattern);
    scatter_rows(gradients.query, queries, add);
    if (args.dkey.defined()) scatter_rows(gradients.key, task.tokens(args.dkey), add);
    scatter_rows(gradients.value, task.tokens(args.dvalue), add);
  };
  for (int64_t round = 0; round < forward.pattern.rounds; ++round) {
    for_segments(pool, problem, round, round + 1, run);
  }
}

void attention_part_backward(ThreadPool& pool, const AttentionPartBackwardArgs& args) {
  check_attention_part_backward(args);
  const AttentionPartArgs& forward = args.forward;
  if (forward.own.empty()) return;
  CHECK_EQ(forward.query.dtype(), DType::kFloat32);
  const SlotProblem problem(pool, forward);
  const int64_t heads = forward.pattern.heads;
  const auto run = [&](const Segment& segment, int thread) {
    const TokenOutputs outputs{
        .dout = args.dout,
        .lse = {.base = args.lse.data<float>() + segment.list, .stride = heads},
        .delta = {.base = args.delta.data<float>() + segment.list, .stride = heads}};
    Task task(pool, problem, segment, outputs, thread);
    const Task::Gradients gradients = task.find_gradients();
    TokenRows queries = own_results(args.dquery, problem, segment);
    queries.scale = query_scale(forward.pattern);
    scatter_rows(gradients.query, queries, false);
    if (args.dkey.defined()) {
      scatter_rows(gradients.key, own_results(args.dkey, problem, segment), false);
    }
    scatter_rows(gradients.value, own_results(args.dvalue, problem, segment), false);
  };
  for_segments(pool, problem, 0, forward.pattern.rounds, run);
}

}  // namespace reformer::cpu
