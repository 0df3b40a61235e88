// Which slots of a hashed layer each rank owns, and which ones it needs beside them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/lsh_layout.h"

namespace reformer {

/// For one sample and head; all have the same. A rank owns the same slots of every round. What it
/// holds for round r, its *window*, are the slots around those (slots_around() in lsh_layout.h); in
/// kChunked layers they may reach into the rounds beside r. The windows of a rank make one list
/// [R, held].
class SlotWindows {
 public:
  /// Slots [begin, end) of one round in the list.
  struct Piece {
    int64_t round = 0;
    SlotRange slots;    // counted within the round
    int64_t place = 0;  // of the first of them in the list
  };

  /// Of sequences of `length` tokens. What ranks own begins at multiples of the chunk length and of
  /// `block`; ranks own nothing where there are fewer of those than ranks. REQUIRES: a hashed kind.
  SlotWindows(const AttentionPattern& pattern, int64_t length, int64_t block, int ranks);

  int ranks() const { return static_cast<int>(own_.size()); }
  int64_t rounds() const { return ring_.size() / ring_.length(); }
  int64_t length() const { return ring_.length(); }

  /// Of every round.
  SlotRange own(int rank) const { return own_[static_cast<size_t>(rank)]; }
  int64_t held(int rank) const;
  const std::vector<Piece>& pieces(int rank) const { return pieces_[static_cast<size_t>(rank)]; }

  /// The ranks that have this slot of this round in any window, its owner first.
  std::span<const int> holders(int64_t round, int64_t slot) const {
    const auto list = static_cast<size_t>(round * chunks_per_round_ + slot / chunk_length_);
    return std::span(holders_).subspan(first_holder_[list],
                                       first_holder_[list + 1] - first_holder_[list]);
  }

  /// Different tokens in the windows of a rank, at most.
  int64_t most_tokens_held(int rank) const;
  /// How often `tokens` tokens travel at most, when each goes once to each rank that holds it.
  int64_t most_tokens_sent(int64_t tokens) const;

 private:
  std::vector<Piece> make_pieces(int rank) const;
  void list_holders();
  int64_t chunk_size(int64_t chunk) const;

  AttentionPattern pattern_;
  SlotRing ring_;
  int64_t chunk_length_;
  int64_t chunks_per_round_;
  std::vector<SlotRange> own_;
  std::vector<std::vector<Piece>> pieces_;
  std::vector<int> holders_;          // of chunk after chunk, round after round
  std::vector<size_t> first_holder_;  // [R · chunks_per_round + 1]
};

}  // namespace reformer
