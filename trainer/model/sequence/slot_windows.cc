#include "trainer/model/sequence/slot_windows.h"

#include <algorithm>
#include <numeric>

#include "comm/operation.h"

namespace reformer {
namespace {

std::vector<SlotRange> share_slots(int64_t length, int64_t unit, int ranks) {
  const int64_t units = (length + unit - 1) / unit;
  std::vector<SlotRange> shares;
  for (int rank = 0; rank < ranks; ++rank) {
    const Slice share = share_of(units, rank, ranks);
    shares.push_back({std::min(length, share.begin * unit), std::min(length, share.end * unit)});
  }
  return shares;
}

}  // namespace

SlotWindows::SlotWindows(const AttentionPattern& pattern, int64_t length, int64_t block, int ranks)
    : pattern_(pattern),
      ring_(pattern, length),
      chunk_length_(pattern.chunk_length),
      chunks_per_round_((length + chunk_length_ - 1) / chunk_length_),
      own_(share_slots(length, std::lcm(chunk_length_, block), ranks)) {
  CHECK(is_hashed(pattern.kind));
  for (int rank = 0; rank < ranks; ++rank) pieces_.push_back(make_pieces(rank));
  list_holders();
}

int64_t SlotWindows::held(int rank) const {
  return slots_around(pattern_, ring_, own(rank)).size();
}

std::vector<SlotWindows::Piece> SlotWindows::make_pieces(int rank) const {
  std::vector<Piece> pieces;
  const SlotRange around = slots_around(pattern_, ring_, own(rank));
  int64_t place = 0;
  for (int64_t round = 0; round < rounds(); ++round) {
    const int64_t end = round * length() + around.end;
    for (int64_t slot = round * length() + around.begin; slot < end;) {
      const int64_t part_end = std::min(end, (ring_.unrolled_round(slot) + 1) * length());
      const int64_t begin = ring_.wrap(slot) % length();
      pieces.push_back({.round = ring_.wrap(slot) / length(),
                        .slots = {begin, begin + part_end - slot},
                        .place = place});
      place += part_end - slot;
      slot = part_end;
    }
  }
  return pieces;
}

void SlotWindows::list_holders() {
  std::vector<std::vector<int>> of_chunk(static_cast<size_t>(rounds() * chunks_per_round_));
  const auto add = [&](int rank, int64_t round, SlotRange slots) {
    // Windows consist of whole chunks.
    CHECK_EQ(slots.begin % chunk_length_, 0);
    CHECK(slots.end % chunk_length_ == 0 || slots.end == length());
    for (int64_t slot = slots.begin; slot < slots.end; slot += chunk_length_) {
      std::vector<int>& ranks =
          of_chunk[static_cast<size_t>(round * chunks_per_round_ + slot / chunk_length_)];
      if (std::find(ranks.begin(), ranks.end(), rank) == ranks.end()) ranks.push_back(rank);
    }
  };
  for (int rank = 0; rank < ranks(); ++rank) {
    for (int64_t round = 0; round < rounds(); ++round) add(rank, round, own(rank));
  }
  for (int rank = 0; rank < ranks(); ++rank) {
    for (const Piece& piece : pieces(rank)) add(rank, piece.round, piece.slots);
  }
  first_holder_.push_back(0);
  for (const std::vector<int>& ranks : of_chunk) {
    holders_.insert(holders_.end(), ranks.begin(), ranks.end());
    first_holder_.push_back(holders_.size());
  }
}

int64_t SlotWindows::chunk_size(int64_t chunk) const {
  return std::min(length(), (chunk + 1) * chunk_length_) - chunk * chunk_length_;
}

int64_t SlotWindows::most_tokens_held(int rank) const {
  int64_t slots = 0;
  for (int64_t round = 0; round < rounds(); ++round) {
    for (int64_t chunk = 0; chunk < chunks_per_round_; ++chunk) {
      const std::span<const int> ranks = holders(round, chunk * chunk_length_);
      if (std::find(ranks.begin(), ranks.end(), rank) != ranks.end()) slots += chunk_size(chunk);
    }
  }
  return std::min(length(), slots);
}

int64_t SlotWindows::most_tokens_sent(int64_t tokens) const {
  int64_t most = 0;
  std::vector<int64_t> slots_held_by;  // [number of ranks]
  for (int64_t round = 0; round < rounds(); ++round) {
    slots_held_by.assign(static_cast<size_t>(ranks()) + 1, 0);
    for (int64_t chunk = 0; chunk < chunks_per_round_; ++chunk) {
      slots_held_by[holders(round, chunk * chunk_length_).size()] += chunk_size(chunk);
    }
    // In the worst case the tokens are in the slots that most ranks hold.
    int64_t left = tokens;
    for (int holding = ranks(); holding > 0 && left > 0; --holding) {
      const int64_t taken = std::min(left, slots_held_by[static_cast<size_t>(holding)]);
      most += taken * holding;
      left -= taken;
    }
  }
  return std::min(most, tokens * ranks());
}

}  // namespace reformer
