// Attention, forward.
//
// A key has unit length, so |score| <= ‖q‖, and ‖q‖ can be subtracted before exp in place of the
// largest score: all rounds then subtract the same, their unnormalised sums simply add, and nothing
// is ever rescaled. Only queries so long that exp could underflow, and the queries of kLocal, whose
// keys have any length, subtract their largest score of the round.
#include <algorithm>
#include <memory>

#include "kernels/cpu/attention_combine.h"
#include "kernels/cpu/attention_slots.h"
#include "kernels/cpu/ops.h"
#include "kernels/op_checks.h"

namespace reformer::cpu {
namespace {

/// exp(−2 · 30) is 1e12 times the smallest normal float: enough for the products with values.
constexpr float kLongQuery = 30.0f;

/// Scratch memory of one thread.
struct Workspace {
  Workspace(Carver& carver, const AttentionPattern& pattern)
      : queries(carve_slot_rows(carver, kSegmentSlots, pattern)),
        keys(carve_slot_rows(carver, kPanelSlots, pattern)),
        width(padded_width(pattern.head_dim)),
        tile(carver.floats(kTileLanes * width)),
        query_columns(carver.floats(kSegmentSlots * width)),
        maxima(carver.floats(kSegmentSlots)),
        sums{.values = carver.floats(kSegmentSlots * width),
             .weights = carver.floats(kSegmentSlots),
             .offsets = queries.offset},
        earlier{.values = carver.floats(kSegmentSlots * width),
                .weights = carver.floats(kSegmentSlots),
                .offsets = carver.floats(kSegmentSlots)},
        key_rows(carver.floats(kPanelSlots * width)),
        key_norms(carver.floats(kPanelSlots)),
        value_rows(carver.floats(kPanelSlots * width)),
        scores(carver.floats(kPanelSlots * kTileLanes)) {}

  SlotRows queries;  // of the segment
  SlotRows keys;     // of the panel
  int64_t width;
  float* tile;           // [kTileLanes, width]
  float* query_columns;  // [kSegmentTiles, width, kTileLanes]
  float* maxima;         // [kSegmentSlots], of scores
  RoundSums sums;        // of kSegmentSlots queries
  RoundSums earlier;     // the same of the rounds before
  float* key_rows;       // [kPanelSlots, width]
  float* key_norms;      // [kPanelSlots]
  float* value_rows;     // [kPanelSlots, width]
  float* scores;         // [kPanelSlots, kTileLanes]
};

/// The queries of one segment.
class Task {
 public:
  Task(ThreadPool& pool, const SlotProblem& problem, const Segment& segment, int thread)
      : problem_(problem),
        work_(carve_workspace<Workspace>(pool, thread, problem.pattern)),
        slots_(problem, segment),
        count_(segment.slots()) {}

  /// Adds up what the queries see in their round.
  void attend() {
    slots_.load(Side::kQuery, slots_.own(), work_.queries);
    gather_queries();
    std::fill(work_.sums.values, work_.sums.values + kSegmentSlots * work_.width, 0.0f);
    std::fill(work_.sums.weights, work_.sums.weights + kSegmentSlots, 0.0f);
    const SegmentReach reach(work_.queries, count_);
    if (!reach.fits_one_panel() && any_offset_is_unknown(0, count_)) find_maxima(reach);
    walk_panels(
        reach,
        [&](SlotRange panel) {
          load_keys(panel);
          gather_rows(slots_.tokens(problem_.value, work_.keys, 0, panel.size()), work_.value_rows);
        },
        [&](int64_t tile, int64_t first, int64_t rows) {
          score(tile, first, rows);
          const TilePairs tile_pairs = pairs(tile, first, rows);
          if (reach.fits_one_panel()) find_maxima_in_place(tile_pairs);
          weigh(tile_pairs, work_.scores, work_.sums.weights + tile * kTileLanes);
          add_values(tile, first, rows);
        });
  }

  int64_t width() const { return work_.width; }
  const RoundSums& sums() const { return work_.sums; }
  const RoundSums& earlier() const { return work_.earlier; }

  /// Of a query.
  int64_t row(int64_t i) const { return work_.queries.row[i]; }
  bool is_masked(int64_t i) const { return work_.queries.key_position[i] == kMaskedKey; }
  TokenRows tokens(const View& activation) const {
    return slots_.tokens(activation, work_.queries, 0, count_);
  }

 private:
  /// The offset of a query whose largest score is not found yet; who sees nobody keeps it.
  static constexpr float kUnknown = kNoOffset;

  /// Gathers the queries and what is to be subtracted from their scores, as far as it is known.
  void gather_queries() {
    gather_columns(count_, work_.width, work_.tile, work_.query_columns,
                   [&](int64_t first, int64_t count, float* tile) {
                     TokenRows from = slots_.tokens(problem_.query, work_.queries, first, count);
                     from.scale = query_scale(problem_.pattern);
                     gather_rows(from, tile);
                   });
    const bool shared = has_shared_query_key(problem_.pattern.kind);
    for (int64_t first = 0; first < count_; first += kTileLanes) {
      float* offset = work_.queries.offset + first;
      square_lanes(work_.query_columns + first * work_.width, work_.width, offset);
      for (int64_t i = 0; i < kTileLanes; ++i) {
        const float norm = std::sqrt(offset[i]);
        offset[i] = shared && norm <= kLongQuery ? norm : kUnknown;
      }
    }
  }

  bool any_offset_is_unknown(int64_t first, int64_t count) const {
    const float* offset = work_.queries.offset + first;
    return std::find(offset, offset + count, kUnknown) != offset + count;
  }

  void load_keys(SlotRange panel) {
    slots_.load(Side::kKey, panel, work_.keys);
    gather_keys(problem_.pattern, slots_.tokens(problem_.key, work_.keys, 0, panel.size()),
                work_.key_rows, work_.key_norms);
  }

  TilePairs pairs(int64_t tile, int64_t first, int64_t rows) const {
    TilePairs pairs = slots_.pairs();
    pairs.lanes = &work_.queries;
    pairs.first_lane = tile * kTileLanes;
    pairs.panel = &work_.keys;
    pairs.first_row = first;
    pairs.rows = rows;
    return pairs;
  }

  /// Scores of panel rows [first, first + rows) and the queries of a tile.
  void score(int64_t tile, int64_t first, int64_t rows) {
    multiply({.rows = rows,
              .columns = kTileLanes,
              .depth = work_.width,
              .a = work_.key_rows + first * work_.width,
              .a_row = work_.width,
              .a_step = 1,
              .b = work_.query_columns + tile * kTileLanes * work_.width,
              .b_stride = kTileLanes,
              .c = work_.scores,
              .c_stride = kTileLanes});
  }

  /// Walks all keys to find the largest scores of long queries.
  void find_maxima(const SegmentReach& reach) {
    std::fill(work_.maxima, work_.maxima + kSegmentSlots, kUnknown);
    walk_panels(
        reach, [&](SlotRange panel) { load_keys(panel); },
        [&](int64_t tile, int64_t first, int64_t rows) {
          score(tile, first, rows);
          raise_maxima(pairs(tile, first, rows), work_.scores, work_.maxima + tile * kTileLanes);
        });
    take_maxima_as_offsets(0, count_);
  }

  /// The same for a tile all of whose scores are at hand.
  void find_maxima_in_place(const TilePairs& tile_pairs) {
    const int64_t first = tile_pairs.first_lane;
    if (!any_offset_is_unknown(first, kTileLanes)) return;
    std::fill(work_.maxima + first, work_.maxima + first + kTileLanes, kUnknown);
    raise_maxima(tile_pairs, work_.scores, work_.maxima + first);
    take_maxima_as_offsets(first, kTileLanes);
  }

  void take_maxima_as_offsets(int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; ++i) {
      if (work_.queries.offset[i] == kUnknown) work_.queries.offset[i] = work_.maxima[i];
    }
  }

  void add_values(int64_t tile, int64_t first, int64_t rows) {
    multiply({.rows = kTileLanes,
              .columns = work_.width,
              .depth = rows,
              .a = work_.scores,
              .a_row = 1,
              .a_step = kTileLanes,
              .b = work_.value_rows + first * work_.width,
              .b_stride = work_.width,
              .c = work_.sums.values + tile * kTileLanes * work_.width,
              .c_stride = work_.width,
              .accumulate = true});
  }

  const SlotProblem& problem_;
  Workspace work_;
  SegmentSlots slots_;
  int64_t count_;
};

}  // namespace

void attention(ThreadPool& pool, const AttentionArgs& args) {
  check_attention(args);
  CHECK_EQ(args.query.dtype(), DType::kFloat32);
  const SlotProblem problem(pool, args);
  const int64_t rounds = args.pattern.rounds;
  // Between rounds `out` holds Σ w v, `lse` Σ w, and these [B, H, T] what was subtracted.
  const auto offsets = std::make_unique_for_overwrite<float[]>(
      static_cast<size_t>(rounds == 1 ? 0 : args.lse.elements()));
  const auto run = [&](const Segment& segment, int thread) {
    Task task(pool, problem, segment, thread);
    task.attend();
    const TokenRows out = task.tokens(args.out);
    float* lse = args.lse.data<float>() + segment.list * args.layout.length;
    float* offset = offsets.get() + segment.list * args.layout.length;
    const RoundSums& sums = task.sums();
    if (segment.round > 0) {
      const RoundSums& earlier = task.earlier();
      gather_rows(out, earlier.values);
      for (int64_t i = 0; i < out.count; ++i) {
        earlier.weights[i] = lse[task.row(i)];
        earlier.offsets[i] = offset[task.row(i)];
      }
      add_earlier_rounds(earlier, out.count, task.width(), sums);
    }
    if (segment.round + 1 < rounds) {
      for (int64_t i = 0; i < out.count; ++i) {
        lse[task.row(i)] = sums.weights[i];
        offset[task.row(i)] = sums.offsets[i];
      }
    } else {
      finish_rounds(
          task.tokens(args.value), [&](int64_t i) { return task.is_masked(i); }, task.width(),
          sums);
      for (int64_t i = 0; i < out.count; ++i) lse[task.row(i)] = sums.offsets[i];
    }
    scatter_rows(sums.values, out, false);
  };
  for (int64_t round = 0; round < rounds; ++round) {
    for_segments(pool, problem, round, round + 1, run);
  }
}

void attention_part(ThreadPool& pool, const AttentionPartArgs& args) {
  check_attention_part(args);
  if (args.own.empty()) return;
  CHECK_EQ(args.query.dtype(), DType::kFloat32);
  const SlotProblem problem(pool, args);
  for_segments(pool, problem, 0, args.pattern.rounds, [&](const Segment& segment, int thread) {
    Task task(pool, problem, segment, thread);
    task.attend();
    const RoundSums& sums = task.sums();
    scatter_rows(sums.values, own_results(args.sums, problem, segment), false);
    const TokenRows weights = own_results(args.weights, problem, segment);
    for (int64_t i = 0; i < weights.count; ++i) {
      float* row = weights.row(i);
      row[0] = sums.offsets[i];
      row[1] = row[2] = sums.weights[i];
    }
  });
}

}  // namespace reformer::cpu
