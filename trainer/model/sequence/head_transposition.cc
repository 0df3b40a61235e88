#include "trainer/model/sequence/head_transposition.h"

#include <algorithm>

#include "trainer/model/sequence/operation_tag.h"

namespace reformer {
namespace {

/// While one piece is attended to, the next one arrives and the last one leaves. More pieces would
/// hide no more of the exchange than they cost in short messages.
constexpr int64_t kMostPieces = 2;

}  // namespace

HeadTransposition::HeadTransposition(const Pass& pass, int layer, Communicator& group,
                                     std::span<const Slice> tokens)
    : pass_(pass),
      layer_(layer),
      group_(group),
      pattern_(pass.spec.layers[static_cast<size_t>(layer)].attention) {
  CHECK_EQ(tokens.size(), static_cast<size_t>(group.size()));
  for (const Slice& slice : tokens) {
    tokens_.push_back({slice.begin - tokens[0].begin, slice.end - tokens[0].begin});
  }
  length_ = tokens_.back().end;
  own_length_ = tokens_[static_cast<size_t>(group.rank())].elements();
  const int64_t most_heads = (pattern_.heads + group.size() - 1) / group.size();
  pieces_ = static_cast<int>(std::min(kMostPieces, most_heads));

  std::vector<int32_t> source;
  std::vector<int32_t> place(static_cast<size_t>(own_length_ * pattern_.heads));
  for (int piece = 0; piece < pieces_; ++piece) {
    for (int rank = 0; rank < group.size(); ++rank) {
      const Slice heads = heads_of(rank, piece);
      for (int64_t token = 0; token < own_length_; ++token) {
        for (int64_t head = heads.begin; head < heads.end; ++head) {
          const int64_t row = token * pattern_.heads + head;
          place[static_cast<size_t>(row)] = static_cast<int32_t>(source.size());
          source.push_back(static_cast<int32_t>(row));
        }
      }
    }
  }
  source_ = pass.upload_index(source, {own_length_ * pattern_.heads});
  place_ = pass.upload_index(place, {own_length_ * pattern_.heads});
}

View HeadTransposition::piece_of(const View& whole, int piece) const {
  const Slice heads = own_heads(piece);
  const int64_t first = own_heads().begin;
  return whole.rows((heads.begin - first) * length_, (heads.end - first) * length_)
      .reshape({length_, heads.elements() * pattern_.head_dim});
}

View HeadTransposition::allocate_packed() const {
  return pass_.exchange_memory(pass_.spec.compute_dtype,
                               {own_length_ * pattern_.heads, pattern_.head_dim});
}

View HeadTransposition::pack(const View& x) const {
  const View packed = allocate_packed();
  pass_.backend.gather_rows({.x = x.reshape(packed.shape()), .index = source_, .y = packed});
  return packed;
}

void HeadTransposition::unpack(const View& packed, const View& x) const {
  pass_.backend.gather_rows({.x = packed, .index = place_, .y = x.reshape(packed.shape())});
}

Pending HeadTransposition::start_in(const View& packed, int piece, const View& whole) const {
  return group_.start_all_to_all(packed, slices_of_packed(piece), whole,
                                 slices_of_whole(whole.shape()[1]),
                                 attention_tag(layer_, "heads in"));
}

Pending HeadTransposition::start_out(const View& whole, int piece, const View& packed) const {
  return group_.start_all_to_all(whole, slices_of_whole(whole.shape()[1]), packed,
                                 slices_of_packed(piece), attention_tag(layer_, "heads out"));
}

View HeadTransposition::gather_mask(const View& mask) const {
  if (!mask.defined()) return {};
  const int64_t samples = mask.shape()[0];
  const View whole = pass_.exchange_memory(mask.dtype(), {samples, length_});
  const Slice own = tokens_[static_cast<size_t>(group_.rank())];
  for (int64_t sample = 0; sample < samples; ++sample) {
    const View of_sample = whole.rows(sample, sample + 1).reshape({length_});
    pass_.backend.copy(mask.rows(sample, sample + 1).reshape({own_length_}), own.of(of_sample));
    group_.all_gather(of_sample, tokens_, attention_tag(layer_, "mask"));
  }
  return whole;
}

Slice HeadTransposition::heads_of(int rank, int piece) const {
  const Slice all = share_of(pattern_.heads, rank, group_.size());
  const Slice part = share_of(all.elements(), piece, pieces_);
  return {all.begin + part.begin, all.begin + part.end};
}

std::vector<Slice> HeadTransposition::slices_of_packed(int piece) const {
  // Pieces before this one, of all ranks.
  int64_t begin = 0;
  const auto elements = [&](int rank, int of_piece) {
    return own_length_ * heads_of(rank, of_piece).elements() * pattern_.head_dim;
  };
  for (int before = 0; before < piece; ++before) {
    for (int rank = 0; rank < group_.size(); ++rank) begin += elements(rank, before);
  }
  std::vector<Slice> slices;
  for (int rank = 0; rank < group_.size(); ++rank) {
    slices.push_back({begin, begin + elements(rank, piece)});
    begin = slices.back().end;
  }
  return slices;
}

std::vector<Slice> HeadTransposition::slices_of_whole(int64_t width) const {
  std::vector<Slice> slices;
  for (const Slice& tokens : tokens_) slices.push_back({tokens.begin * width, tokens.end * width});
  return slices;
}

}  // namespace reformer
