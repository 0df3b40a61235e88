// What the attention ops share, forward and backward, of all slots or of a part: how the slots of
// each round become tasks, and the rows of SlotRows that say who sees whom.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/attention_tiles.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/lsh_layout.h"

namespace reformer::cpu {

/// Slots of one task, which has one side of all their pairs to itself.
inline constexpr int64_t kSegmentSlots = 256;
inline constexpr int64_t kSegmentTiles = kSegmentSlots / kTileLanes;
/// Slots of the other side that are gathered at a time.
inline constexpr int64_t kPanelSlots = 512;

/// Finds the bucket around a slot: the search is among the buckets of a few slots.
class BucketFinder {
 public:
  BucketFinder() = default;
  /// bucket_begin [lists, begins] must outlive it.
  BucketFinder(ThreadPool& pool, const int32_t* bucket_begin, int64_t lists, int64_t begins);

  /// The slots of the bucket that `slot` is in; all count within the round. `list` counts [B·H·R].
  SlotRange bucket_around(int64_t list, int64_t slot) const;

 private:
  static constexpr int64_t kBlockSlots = 64;

  const int32_t* bucket_begin_ = nullptr;
  int64_t begins_ = 0;
  int64_t blocks_ = 0;
  std::vector<int32_t> first_bucket_;  // [lists, blocks + 1]: of every block's first slot
};

/// What the tasks of an attention op work on: all slots of some sequences (AttentionArgs), or a
/// part of the slots of one (AttentionPartArgs). The arguments must outlive it.
class SlotProblem {
 public:
  SlotProblem(ThreadPool& pool, const AttentionArgs& args);
  SlotProblem(ThreadPool& pool, const AttentionPartArgs& args);
  SlotProblem(const SlotProblem&) = delete;
  SlotProblem& operator=(const SlotProblem&) = delete;

  int64_t lists() const { return samples * pattern.heads; }

  AttentionPattern pattern;
  SlotRing ring;
  SlotRange own;  // the slots of every round that have tasks
  int64_t samples = 1;
  int64_t sample_rows = 0;  // of activations
  int64_t first_sample = 0;
  int64_t first_head = 0;
  Dropout dropout;
  View query;
  View key;  // the query where they are shared
  View value;

  // Which row of its sample the token in a slot has; absent: slot = row.
  const int32_t* row = nullptr;  // [B, H, R, listed.size()]
  SlotRange listed;              // slots of every round; beyond its ends they are those of other
  bool beyond_ends = false;      // rounds, if that is set

  // Of the tokens: ~position if masked; absent: position = row, and `mask` tells.
  const int32_t* position = nullptr;  // [sample_rows]
  const uint8_t* mask = nullptr;      // [B, sample_rows], 0 = masked; or absent

  BucketFinder buckets;              // with sees_own_bucket_only
  const int32_t* slot_in = nullptr;  // [B, H, sample_rows, R]; with correct_duplicates

 private:
  std::vector<int32_t> slots_of_tokens_;
};

/// Consecutive own slots of one sample, head and round.
struct Segment {
  int64_t list = 0;  // sample and head, in [B·H]
  int64_t round = 0;
  int64_t begin = 0;  // counted within the round
  int64_t end = 0;

  int64_t slots() const { return end - begin; }
};

/// Calls body(segment, thread) for all segments of rounds [first_round, end_round), in parallel. In
/// each round a token is in one segment of each head.
template <typename Body>
void for_segments(ThreadPool& pool, const SlotProblem& problem, int64_t first_round,
                  int64_t end_round, const Body& body) {
  const SlotRange own = problem.own;
  const int64_t segments = (own.size() + kSegmentSlots - 1) / kSegmentSlots;
  const int64_t lists = problem.lists();
  pool.parallel_for((end_round - first_round) * lists * segments, [&](int64_t index, int thread) {
    const int64_t begin = own.begin + index % segments * kSegmentSlots;
    body(Segment{.list = index / segments % lists,
                 .round = first_round + index / segments / lists,
                 .begin = begin,
                 .end = std::min(begin + kSegmentSlots, own.end)},
         thread);
  });
}

/// A float of every token of one sample and head.
struct TokenScalars {
  float* base = nullptr;
  int64_t stride = 1;

  float& operator[](int64_t row) const { return base[row * stride]; }
};

/// All rows of one sample and head in an activation [samples · sample_rows, H·D]; `list` counts
/// heads through all samples.
inline TokenRows head_rows(const View& activation, const AttentionPattern& pattern,
                           int64_t sample_rows, int64_t list) {
  const int64_t stride = pattern.heads * pattern.head_dim;
  return {.base = activation.data<float>() + list / pattern.heads * sample_rows * stride +
                  list % pattern.heads * pattern.head_dim,
          .stride = stride,
          .count = sample_rows,
          .width = pattern.head_dim};
}

/// The results of a segment in an array [H, R, own.size(), width].
inline TokenRows own_results(const View& results, const SlotProblem& problem,
                             const Segment& segment) {
  const int64_t width = results.shape()[3];
  const int64_t list = segment.list * problem.pattern.rounds + segment.round;
  const int64_t first = list * problem.own.size() + segment.begin - problem.own.begin;
  return {.base = results.data<float>() + first * width,
          .stride = width,
          .count = segment.slots(),
          .width = width};
}

/// Hands out pieces of one block of scratch memory; without a block it only adds up their sizes.
class Carver {
 public:
  explicit Carver(float* block = nullptr) : block_(block) {}

  float* floats(int64_t count) {
    float* piece = block_ == nullptr ? nullptr : block_ + used_;
    used_ += static_cast<size_t>(padded_width(count));
    return piece;
  }
  int32_t* integers(int64_t count) { return reinterpret_cast<int32_t*>(floats(count)); }

  size_t used() const { return used_; }

 private:
  float* block_;
  size_t used_ = 0;
};

/// A Workspace(carver, pattern) in the scratch memory of `thread`.
template <typename Workspace>
Workspace carve_workspace(ThreadPool& pool, int thread, const AttentionPattern& pattern) {
  Carver measure;
  Workspace(measure, pattern);
  Carver carver(pool.scratch(thread, measure.used()));
  return Workspace(carver, pattern);
}

SlotRows carve_slot_rows(Carver& carver, int64_t capacity, const AttentionPattern& pattern);

enum class Side : uint8_t { kQuery, kKey };

/// A segment and the slots around it. Slots are unrolled, and counted through all rounds
/// (lsh_layout.h).
class SegmentSlots {
 public:
  SegmentSlots(const SlotProblem& problem, const Segment& segment);

  SlotRange own() const { return own_; }

  /// Fills rows [0, slots.size()) of `rows` for the slots as queries or as keys, and the rest of
  /// their last tile with rows that see nothing and are not seen.
  void load(Side side, SlotRange slots, SlotRows& rows) const;

  /// The tokens of rows [first, first + count) in an activation.
  TokenRows tokens(const View& activation, const SlotRows& rows, int64_t first,
                   int64_t count) const;

  /// All but lanes and panel.
  TilePairs pairs() const;

 private:
  /// Unrolled, like `slot`. REQUIRES: sees_own_bucket_only.
  SlotRange bucket_around(int64_t slot) const;
  int64_t row_of(int64_t slot) const;
  void load_row(Side side, int64_t slot, SlotRange bucket, SlotRows& rows, int64_t at) const;
  void load_duplicates(Side side, SlotRows& rows, int64_t at) const;

  const SlotProblem& problem_;
  const Segment segment_;
  SlotRange own_;
  int64_t round0_;  // in [B·H·R]
};

/// kLocal: score = q·k / √D, and the queries carry the factor.
float query_scale(const AttentionPattern& pattern);

/// Gathers keys: as they are if kLocal, else k / ‖k‖, with 1 / ‖k‖ in `inverse_norms`. Both are 0
/// for a key without direction, so that no gradient passes.
void gather_keys(const AttentionPattern& pattern, const TokenRows& from, float* tile,
                 float* inverse_norms);

/// Gathers `count` rows tile by tile and transposes each tile to [width, kTileLanes]; rows that the
/// last tile lacks are 0. gather(first, rows, tile) gathers rows [first, first + rows).
template <typename Gather>
void gather_columns(int64_t count, int64_t width, float* tile, float* columns,
                    const Gather& gather) {
  for (int64_t first = 0; first < count; first += kTileLanes) {
    const int64_t rows = std::min(kTileLanes, count - first);
    gather(first, rows, tile);
    std::fill(tile + rows * width, tile + kTileLanes * width, 0.0f);
    transpose_lanes(tile, width, columns + first * width);
  }
}

/// What the tiles of a segment see of the other side.
struct SegmentReach {
  SegmentReach(const SlotRows& lanes, int64_t count);

  bool fits_one_panel() const { return all.size() <= kPanelSlots; }

  SlotRange tile[kSegmentTiles];
  SlotRange all;
};

/// Walks the other side in slot order. load(slots) gathers a panel; then visit(tile, first,
/// rows) is called for each tile that sees any of rows [first, first + rows) of it.
template <typename Load, typename Visit>
void walk_panels(const SegmentReach& reach, const Load& load, const Visit& visit) {
  for (int64_t begin = reach.all.begin; begin < reach.all.end; begin += kPanelSlots) {
    const SlotRange panel{begin, std::min(begin + kPanelSlots, reach.all.end)};
    load(panel);
    for (int64_t tile = 0; tile < kSegmentTiles; ++tile) {
      const SlotRange part = intersection(reach.tile[tile], panel);
      if (!part.empty()) visit(tile, part.begin - begin, part.size());
    }
  }
}

}  // namespace reformer::cpu
