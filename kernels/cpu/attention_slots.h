// What the forward and the backward pass of attention share: how the slots of each round become
// tasks, and the rows of SlotRows that say who sees whom.
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

/// Consecutive slots of one sample, head and round.
struct Segment {
  int64_t sample = 0;
  int64_t head = 0;
  int64_t begin = 0;  // slots count through all rounds (lsh_layout.h)
  int64_t end = 0;

  int64_t slots() const { return end - begin; }
};

/// Calls body(segment, thread) for all segments of one round, in parallel. Each token is in one
/// segment for each head.
template <typename Body>
void for_segments(ThreadPool& pool, const AttentionArgs& args, int64_t round, const Body& body) {
  const int64_t length = args.layout.length;
  const int64_t heads = args.pattern.heads;
  const int64_t segments = (length + kSegmentSlots - 1) / kSegmentSlots;
  pool.parallel_for(args.layout.samples * heads * segments, [&](int64_t index, int thread) {
    const int64_t first = index % segments * kSegmentSlots;
    body(Segment{.sample = index / segments / heads,
                 .head = index / segments % heads,
                 .begin = round * length + first,
                 .end = round * length + std::min(first + kSegmentSlots, length)},
         thread);
  });
}

/// Calls body(i, dot) for every element i of an array [B, H, T], in parallel, with the product of
/// that token's and head's parts of two activations [rows, H·D].
template <typename Body>
void for_head_dots(ThreadPool& pool, const AttentionArgs& args, const View& a, const View& b,
                   const Body& body) {
  constexpr int64_t kRows = 64;
  const int64_t length = args.layout.length;
  const int64_t heads = args.pattern.heads;
  const int64_t width = heads * args.pattern.head_dim;
  const int64_t blocks = (length + kRows - 1) / kRows;
  pool.parallel_for(args.layout.samples * blocks, [&](int64_t index, int thread) {
    const int64_t sample = index / blocks;
    const int64_t begin = index % blocks * kRows;
    const int64_t count = std::min(kRows, length - begin);
    const int64_t first = (sample * length + begin) * width;
    float* dots = pool.scratch(thread, static_cast<size_t>(kRows * heads));
    dot_rows(a.data<float>() + first, b.data<float>() + first, count * heads, args.pattern.head_dim,
             dots);
    for (int64_t i = 0; i < count * heads; ++i) {
      body((sample * heads + i % heads) * length + begin + i / heads, dots[i]);
    }
  });
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

/// A Workspace(carver, args) in the scratch memory of `thread`.
template <typename Workspace>
Workspace carve_workspace(ThreadPool& pool, int thread, const AttentionArgs& args) {
  Carver measure;
  Workspace(measure, args);
  Carver carver(pool.scratch(thread, measure.used()));
  return Workspace(carver, args);
}

SlotRows carve_slot_rows(Carver& carver, int64_t capacity, const AttentionArgs& args);

/// Slot and bucket of every token in every round; made for correct_duplicates only, else empty.
class TokenSlots {
 public:
  TokenSlots(ThreadPool& pool, const AttentionArgs& args);

  int32_t slot(int64_t list, int64_t position) const { return slot_[index(list, position)]; }
  int32_t bucket(int64_t list, int64_t position) const { return bucket_[index(list, position)]; }

 private:
  size_t index(int64_t list, int64_t position) const {
    return static_cast<size_t>(list * length_ + position);
  }

  int64_t length_;
  std::vector<int32_t> slot_;    // [B, H, R, T], counted within the round
  std::vector<int32_t> bucket_;  // [B, H, R, T]
};

enum class Side : uint8_t { kQuery, kKey };

/// The slots of one sample and head.
class HeadSlots {
 public:
  HeadSlots(const AttentionArgs& args, const TokenSlots& tokens, int64_t sample, int64_t head);

  /// Fills rows [0, end − begin) of `rows` for the (unrolled) slots [begin, end) as queries or as
  /// keys, and the rest of their last tile with rows that see nothing and are not seen.
  void load(Side side, int64_t begin, int64_t end, SlotRows& rows) const;

  /// The tokens of rows [first, first + count) in an activation [rows, H·D].
  TokenRows tokens(const View& activation, const SlotRows& rows, int64_t first,
                   int64_t count) const;

  /// All but lanes and panel.
  TilePairs pairs() const;

 private:
  class BucketCursor;

  int64_t list(int64_t round) const { return list_ + round; }
  void load_row(Side side, int64_t slot, SlotRange bucket, SlotRows& rows, int64_t row) const;
  void load_duplicates(Side side, SlotRows& rows, int64_t row) const;

  const AttentionArgs& args_;
  const TokenSlots& tokens_;
  SlotRing ring_;
  int64_t sample_;
  int64_t head_;
  int64_t list_;  // of round 0, in [B·H·R]
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

/// Walks the other side in slot order. load(begin, end) gathers a panel; then visit(tile, first,
/// rows) is called for each tile that sees any of rows [first, first + rows) of it.
template <typename Load, typename Visit>
void walk_panels(const SegmentReach& reach, const Load& load, const Visit& visit) {
  for (int64_t begin = reach.all.begin; begin < reach.all.end; begin += kPanelSlots) {
    const SlotRange panel{begin, std::min(begin + kPanelSlots, reach.all.end)};
    load(panel.begin, panel.end);
    for (int64_t tile = 0; tile < kSegmentTiles; ++tile) {
      const SlotRange part = intersection(reach.tile[tile], panel);
      if (!part.empty()) visit(tile, part.begin - begin, part.size());
    }
  }
}

}  // namespace reformer::cpu
