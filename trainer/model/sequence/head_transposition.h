// From the tokens of a rank, with all heads, to all tokens, with the heads of a rank, and back
// (DeepSpeed-Ulysses: Jacobs et al., 2023).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/communicator.h"
#include "trainer/model/pass.h"

namespace reformer {

/// Of one sequence at a time, between the ranks of a group whose tokens follow each other: L of
/// this rank, T of all. Of the H heads rank r gets its share (Communicator::own_share). They go in
/// pieces, so that one can be on its way while another is worked on.
///
/// On its way a tensor is *packed*, [L·H, D]: its rows are sorted by (piece, rank that works on the
/// head, token, head), so that every rank's part of a piece is one slice. Once a piece has been
/// waited for, its place in the packed tensor is free for a piece that comes back.
class HeadTransposition {
 public:
  /// Takes memory until the block ends, as all of this does. `tokens`: positions of each rank of
  /// `group`. `pass` and `group` must outlive this.
  HeadTransposition(const Pass& pass, int layer, Communicator& group,
                    std::span<const Slice> tokens);

  int pieces() const { return pieces_; }
  int64_t length() const { return length_; }
  /// Heads of the layer that this rank works on: of one piece, and all of them.
  Slice own_heads(int piece) const { return heads_of(group_.rank(), piece); }
  Slice own_heads() const { return group_.own_share(pattern_.heads); }
  /// One piece, [T, own_heads(piece)·D], of all own heads of a sequence, [T·own heads, D], in which
  /// piece after piece is stored.
  View piece_of(const View& whole, int piece) const;

  /// Contents undefined.
  View allocate_packed() const;
  /// The same, from x [L, H·D].
  View pack(const View& x) const;
  void unpack(const View& packed, const View& x) const;

  /// `whole` [T, own_heads(piece)·D] gets a piece.
  [[nodiscard]] Pending start_in(const View& packed, int piece, const View& whole) const;
  /// The way back.
  [[nodiscard]] Pending start_out(const View& whole, int piece, const View& packed) const;

  /// The mask of all tokens, [B, T], from that of this rank, [B, L]; absent if it is absent.
  View gather_mask(const View& mask) const;

 private:
  Slice heads_of(int rank, int piece) const;
  std::vector<Slice> slices_of_packed(int piece) const;
  std::vector<Slice> slices_of_whole(int64_t width) const;

  const Pass& pass_;
  int layer_;
  Communicator& group_;
  std::vector<Slice> tokens_;  // from the first of the group, by rank
  AttentionPattern pattern_;
  int pieces_;
  int64_t own_length_;  // L
  int64_t length_;      // T
  View source_;         // Int32 [L·H]: the row of x, seen as [L·H, D], for each packed row
  View place_;          // Int32 [L·H]: the packed row for each row of x
};

}  // namespace reformer
