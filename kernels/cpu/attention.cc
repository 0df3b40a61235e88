// Attention, forward.
//
// A key has unit length, so |score| <= ‖q‖, and ‖q‖ can be subtracted before exp in place of the
// largest score: all rounds then subtract the same, their unnormalised sums simply add, and nothing
// is ever rescaled. Only queries so long that exp could underflow, and the queries of kLocal, whose
// keys have any length, take their largest score over all rounds first.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>

#include "kernels/cpu/attention_slots.h"
#include "kernels/cpu/ops.h"
#include "kernels/op_checks.h"

namespace reformer::cpu {
namespace {

/// exp(−2 · 30) is 1e12 times the smallest normal float: enough for the products with values.
constexpr float kLongQuery = 30.0f;

/// The offset of a query whose largest score is not known yet.
constexpr float kUnknown = -std::numeric_limits<float>::infinity();

/// Scratch memory of one thread.
struct Workspace {
  Workspace(Carver& carver, const AttentionArgs& args)
      : queries(carve_slot_rows(carver, kSegmentSlots, args)),
        keys(carve_slot_rows(carver, kPanelSlots, args)),
        width(padded_width(args.pattern.head_dim)),
        tile(carver.floats(kTileLanes * width)),
        query_columns(carver.floats(kSegmentSlots * width)),
        maxima(carver.floats(kSegmentSlots)),
        sums(carver.floats(kSegmentSlots * width)),
        weight_sums(carver.floats(kSegmentSlots)),
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
  float* sums;           // [kSegmentSlots, width]: Σ w v
  float* weight_sums;    // [kSegmentSlots]: Σ w
  float* key_rows;       // [kPanelSlots, width]
  float* key_norms;      // [kPanelSlots]
  float* value_rows;     // [kPanelSlots, width]
  float* scores;         // [kPanelSlots, kTileLanes]
};

/// What the tasks of one call share.
struct Forward {
  Forward(ThreadPool& thread_pool, const AttentionArgs& arguments)
      : pool(thread_pool), args(arguments), tokens(pool, args), offsets(make_array()) {}

  std::unique_ptr<float[]> make_array() const {
    return std::make_unique_for_overwrite<float[]>(static_cast<size_t>(args.lse.elements()));
  }

  ThreadPool& pool;
  const AttentionArgs& args;
  const TokenSlots tokens;
  const std::unique_ptr<float[]> offsets;  // [B, H, T]: ‖q‖, or kUnknown
  std::unique_ptr<float[]> maxima;  // [B, H, T]: largest scores; only if an offset is unknown
};

/// Returns whether all offsets are known.
bool choose_offsets(Forward& op) {
  if (!has_shared_query_key(op.args.pattern.kind)) {
    std::fill_n(op.offsets.get(), op.args.lse.elements(), kUnknown);
    return false;
  }
  std::atomic<bool> all_known = true;
  for_head_dots(op.pool, op.args, op.args.query, op.args.query, [&](int64_t i, float squares) {
    const float norm = std::sqrt(squares);
    const bool known = norm <= kLongQuery;
    op.offsets[static_cast<size_t>(i)] = known ? norm : kUnknown;
    if (!known) all_known.store(false, std::memory_order_relaxed);
  });
  return all_known.load();
}

/// The work on one segment.
class Task {
 public:
  Task(Forward& op, const Segment& segment, int thread)
      : args_(op.args),
        work_(carve_workspace<Workspace>(op.pool, thread, op.args)),
        slots_(op.args, op.tokens, segment.sample, segment.head),
        count_(segment.slots()) {
    const int64_t list = segment.sample * args_.pattern.heads + segment.head;
    offsets_ = op.offsets.get() + list * args_.layout.length;
    maxima_ = op.maxima == nullptr ? nullptr : op.maxima.get() + list * args_.layout.length;
    lse_ = args_.lse.data<float>() + list * args_.layout.length;
    slots_.load(Side::kQuery, segment.begin, segment.end, work_.queries);
  }

  /// Raises `maxima` of the queries without offset to their largest score in this round.
  void find_maxima(bool first_round) {
    const SegmentReach reach(work_.queries, count_);
    const auto is_unknown = [this](int64_t row) { return offsets_[position(row)] == kUnknown; };
    bool any = false;
    for (int64_t i = 0; i < count_; ++i) any = any || is_unknown(i);
    if (!any || finds_maxima_in_place(reach)) return;
    gather_queries();
    std::fill(work_.maxima, work_.maxima + kSegmentSlots, kUnknown);
    walk_panels(
        reach, [&](int64_t begin, int64_t end) { load_keys(begin, end); },
        [&](int64_t tile, int64_t first, int64_t rows) {
          score(tile, first, rows);
          raise_maxima(pairs(tile, first, rows), work_.scores, work_.maxima + tile * kTileLanes);
        });
    for (int64_t i = 0; i < count_; ++i) {
      float& maximum = maxima_[position(i)];
      maximum = first_round ? work_.maxima[i] : std::max(maximum, work_.maxima[i]);
    }
  }

  /// Adds what the queries see from this round to `sums` and `weight_sums`.
  void add_round(bool first_round) {
    gather_queries();
    load_sums(first_round);
    const SegmentReach reach(work_.queries, count_);
    const bool maxima_in_place = finds_maxima_in_place(reach);
    for (int64_t i = 0; i < count_; ++i) {
      const float offset = offsets_[position(i)];
      const bool found = offset == kUnknown && !maxima_in_place;
      work_.queries.offset[i] = found ? maxima_[position(i)] : offset;
    }
    walk_panels(
        reach,
        [&](int64_t begin, int64_t end) {
          load_keys(begin, end);
          gather_rows(slots_.tokens(args_.value, work_.keys, 0, end - begin), work_.value_rows);
        },
        [&](int64_t tile, int64_t first, int64_t rows) {
          score(tile, first, rows);
          const TilePairs tile_pairs = pairs(tile, first, rows);
          if (maxima_in_place) resolve_offsets(tile_pairs);
          weigh(tile_pairs, work_.scores, work_.weight_sums + tile * kTileLanes);
          add_values(tile, first, rows);
        });
  }

  void store_sums() {
    scatter_rows(work_.sums, slots_.tokens(args_.out, work_.queries, 0, count_), false);
    for (int64_t i = 0; i < count_; ++i) lse_[position(i)] = work_.weight_sums[i];
  }

  void finish() {
    for (int64_t i = 0; i < count_; ++i) {
      float* sum = work_.sums + i * work_.width;
      float& total = work_.weight_sums[i];
      float& lse = lse_[position(i)];
      if (work_.queries.key_position[i] == kMaskedKey) {
        lse = 0;
        total = 1;
      } else if (total == 0) {
        gather_rows(slots_.tokens(args_.value, work_.queries, i, 1), sum);
        lse = kSelfScore;
        total = 1;
      } else {
        lse = work_.queries.offset[i] + std::log(total);
        total = 1 / total;
      }
    }
    scale_rows(work_.weight_sums, count_, work_.width, work_.sums);
    scatter_rows(work_.sums, slots_.tokens(args_.out, work_.queries, 0, count_), false);
  }

 private:
  int32_t position(int64_t row) const { return work_.queries.position[row]; }

  /// True where all scores of a query are at hand when they are weighed.
  bool finds_maxima_in_place(const SegmentReach& reach) const {
    return args_.pattern.rounds == 1 && reach.fits_one_panel();
  }

  void gather_queries() {
    gather_columns(count_, work_.width, work_.tile, work_.query_columns,
                   [&](int64_t first, int64_t count, float* tile) {
                     TokenRows from = slots_.tokens(args_.query, work_.queries, first, count);
                     from.scale = query_scale(args_.pattern);
                     gather_rows(from, tile);
                   });
  }

  void load_sums(bool first_round) {
    std::fill(work_.sums, work_.sums + kSegmentSlots * work_.width, 0.0f);
    std::fill(work_.weight_sums, work_.weight_sums + kSegmentSlots, 0.0f);
    if (first_round) return;
    gather_rows(slots_.tokens(args_.out, work_.queries, 0, count_), work_.sums);
    for (int64_t i = 0; i < count_; ++i) work_.weight_sums[i] = lse_[position(i)];
  }

  void load_keys(int64_t begin, int64_t end) {
    slots_.load(Side::kKey, begin, end, work_.keys);
    const View& key = args_.key.defined() ? args_.key : args_.query;
    gather_keys(args_.pattern, slots_.tokens(key, work_.keys, 0, end - begin), work_.key_rows,
                work_.key_norms);
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

  /// Gives the long queries of a tile the largest of its scores as offset.
  void resolve_offsets(const TilePairs& tile_pairs) {
    float* offset = work_.queries.offset + tile_pairs.first_lane;
    float* maxima = work_.maxima + tile_pairs.first_lane;
    if (std::find(offset, offset + kTileLanes, kUnknown) == offset + kTileLanes) return;
    std::fill(maxima, maxima + kTileLanes, kUnknown);
    raise_maxima(tile_pairs, work_.scores, maxima);
    for (int64_t i = 0; i < kTileLanes; ++i) {
      if (offset[i] == kUnknown) offset[i] = maxima[i];
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
              .c = work_.sums + tile * kTileLanes * work_.width,
              .c_stride = work_.width,
              .accumulate = true});
  }

  const AttentionArgs& args_;
  Workspace work_;
  HeadSlots slots_;
  int64_t count_;
  const float* offsets_;  // [T], of this sample and head
  float* maxima_;         // [T]
  float* lse_;            // [T]
};

}  // namespace

void attention(ThreadPool& pool, const AttentionArgs& args) {
  check_attention(args);
  CHECK_EQ(args.query.dtype(), DType::kFloat32);
  Forward op(pool, args);
  const int64_t rounds = args.pattern.rounds;
  if (!choose_offsets(op)) {
    op.maxima = op.make_array();
    for (int64_t round = 0; round < rounds; ++round) {
      for_segments(pool, args, round, [&](const Segment& segment, int thread) {
        Task(op, segment, thread).find_maxima(round == 0);
      });
    }
  }
  // Between rounds `out` holds Σ w v, and `lse` Σ w.
  for (int64_t round = 0; round < rounds; ++round) {
    for_segments(pool, args, round, [&](const Segment& segment, int thread) {
      Task task(op, segment, thread);
      task.add_round(round == 0);
      if (round + 1 < rounds) {
        task.store_sums();
      } else {
        task.finish();
      }
    });
  }
}

}  // namespace reformer::cpu
