#include "trainer/model/sequence/slot_exchange.h"

#include <span>
#include <utility>

namespace reformer {

SlotExchange::SlotExchange(const Pass& pass, int layer) : pass_(pass), layer_(layer) {
  CHECK(is_hashed(pattern().kind));
  CHECK_EQ(pass.layout.length, sequence().own_tokens().elements());
}

BucketShare SlotExchange::share(std::vector<Slice> pieces, const View& mask) const {
  const Slice tokens = sequence().tokens_of_bucket_rank(sequence().buckets.rank());
  TokenLayout layout = pass_.layout;
  layout.length = tokens.elements();
  layout.first_position = tokens.begin;
  return {.ranks = sequence().buckets,
          .length = sequence().length,
          .layout = layout,
          .heads = std::move(pieces),
          .mask = mask};
}

Slots SlotExchange::allocate_slots() const {
  return BucketAttention(pass_, layer_, share({heads_here()}, {})).allocate_slots();
}

void SlotExchange::sort_and_attend(const AttentionActivations& activations, const Slots& slots) {
  const Arena::Mark mark(pass_.arena);
  swap_tokens_for_heads(activations);
  attention_->hash_and_number(here_.query, slots);
  attend_here(activations, slots);
  attention_.reset();
  transposition_.reset();
}

void SlotExchange::attend(const AttentionActivations& activations, const Slots& slots) {
  swap_tokens_for_heads(activations);
  attend_here(activations, slots);
}

void SlotExchange::attend_here(const AttentionActivations& activations, const Slots& slots) {
  attention_->attend(here_, slots);
  if (shares_heads()) swap_out({{activations.out, here_.out}});
}

void SlotExchange::backward(const AttentionActivations& activations, const Slots& slots,
                            const AttentionGradients& gradients) {
  if (!attention_) {
    swap_tokens_for_heads(activations);
    // What each head got is known to others, its lse to nobody any more.
    if (shares_heads()) attention_->attend(here_, slots);
  }
  if (!shares_heads()) {
    attention_->backward(here_, slots, gradients);
    return;
  }
  const Arena::Mark mark(pass_.arena);
  const AttentionGradients here{
      .dout = allocate_here(), .dquery = allocate_here(), .dkey = {}, .dvalue = allocate_here()};
  swap_in({{gradients.dout, here.dout}});
  attention_->backward(here_, slots, here);
  swap_out({{gradients.dquery, here.dquery}, {gradients.dvalue, here.dvalue}});
}

// ---- tokens and heads ----------------------------------------------------------------------

void SlotExchange::swap_tokens_for_heads(const AttentionActivations& activations) {
  if (!shares_heads()) {
    here_ = activations;
    attention_.emplace(pass_, layer_, share({heads_here()}, pass_.mask));
    return;
  }
  const int ranks = sequence().heads.size();
  const int first = sequence().buckets.rank() * ranks;
  transposition_.emplace(
      pass_, layer_, sequence().heads,
      std::span(sequence().tokens).subspan(static_cast<size_t>(first), static_cast<size_t>(ranks)));
  here_ = {};
  here_.query = allocate_here();
  here_.value = allocate_here();
  here_.out = allocate_here();
  here_.lse =
      pass_.block_memory({pass_.layout.samples, heads_here().elements(), transposition_->length()});
  const View mask = transposition_->gather_mask(pass_.mask);
  swap_in({{activations.query, here_.query}, {activations.value, here_.value}});
  std::vector<Slice> pieces;
  for (int i = 0; i < transposition_->pieces(); ++i) {
    pieces.push_back(transposition_->own_heads(i));
  }
  attention_.emplace(pass_, layer_, share(std::move(pieces), mask));
}

void SlotExchange::swap_in(const std::vector<Swapped>& tensors) const {
  const Arena::Mark mark(pass_.arena);
  std::vector<Pending> arriving;
  for (const Swapped& tensor : tensors) {
    for (int64_t sample = 0; sample < pass_.layout.samples; ++sample) {
      const View packed = transposition_->pack(pass_.rows_of(tensor.own, sample));
      for (int i = 0; i < transposition_->pieces(); ++i) {
        arriving.push_back(transposition_->start_in(packed, i, piece_of(tensor.here, sample, i)));
      }
    }
  }
  for (Pending& operation : arriving) operation.wait();
}

void SlotExchange::swap_out(const std::vector<Swapped>& tensors) const {
  const Arena::Mark mark(pass_.arena);
  struct Leaving {
    View packed;
    View own;
  };
  std::vector<Leaving> leaving;
  std::vector<Pending> operations;
  for (const Swapped& tensor : tensors) {
    for (int64_t sample = 0; sample < pass_.layout.samples; ++sample) {
      leaving.push_back({transposition_->allocate_packed(), pass_.rows_of(tensor.own, sample)});
      for (int i = 0; i < transposition_->pieces(); ++i) {
        operations.push_back(
            transposition_->start_out(piece_of(tensor.here, sample, i), i, leaving.back().packed));
      }
    }
  }
  for (Pending& operation : operations) operation.wait();
  for (const Leaving& part : leaving) transposition_->unpack(part.packed, part.own);
}

View SlotExchange::piece_of(const View& here, int64_t sample, int piece) const {
  const int64_t rows = heads_here().elements() * transposition_->length();
  return transposition_->piece_of(here.rows(sample * rows, (sample + 1) * rows), piece);
}

View SlotExchange::allocate_here() const {
  const int64_t rows = pass_.layout.samples * heads_here().elements() * transposition_->length();
  return pass_.exchange_memory(pass_.spec.compute_dtype, {rows, pattern().head_dim});
}

}  // namespace reformer
