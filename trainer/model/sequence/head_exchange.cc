#include "trainer/model/sequence/head_exchange.h"

#include <utility>

namespace reformer {
namespace {

/// Some of a rank's own heads.
class Piece {
 public:
  Piece(const HeadTransposition& heads, int index)
      : heads_(heads),
        index_(index),
        begin_(heads.own_heads(index).begin - heads.own_heads().begin),
        end_(heads.own_heads(index).end - heads.own_heads().begin) {}

  bool empty() const { return begin_ == end_; }

  View of(const View& whole) const { return heads_.piece_of(whole, index_); }
  AttentionActivations of(const AttentionActivations& whole) const {
    AttentionActivations part;
    part.query = of(whole.query);
    part.value = of(whole.value);
    part.out = of(whole.out);
    part.lse = whole.lse.rows(begin_, end_).reshape({1, end_ - begin_, heads_.length()});
    return part;
  }
  Slots of(const Slots& slots) const {
    if (!slots.order.defined()) return {};
    const auto rows = [&](const View& view) {
      return view.rows(begin_, end_).reshape({1, end_ - begin_, view.shape()[1], view.shape()[2]});
    };
    return {.order = rows(slots.order), .bucket_begin = rows(slots.bucket_begin)};
  }

 private:
  const HeadTransposition& heads_;
  int index_;
  int64_t begin_;  // from the first own head
  int64_t end_;
};

void wait_for_all(std::vector<Pending>& operations) {
  for (Pending& operation : operations) operation.wait();
}

}  // namespace

HeadExchange::HeadExchange(const Pass& pass, int layer, Communicator& group,
                           AttentionObserver observer)
    : pass_(pass), layer_(layer), group_(group), observer_(std::move(observer)) {
  CHECK(has_shared_query_key(pattern().kind));
  CHECK_EQ(group.size(), pass.sequence->ranks.size());
  CHECK_EQ(pass.layout.length, pass.sequence->own_tokens().elements());
}

Slots HeadExchange::allocate_slots() const {
  TokenLayout whole = pass_.layout;
  whole.length = length();
  return HeadAttention(pass_, layer_, group_.own_share(pattern().heads), whole, {})
      .allocate_slots();
}

void HeadExchange::sort_and_attend(const AttentionActivations& activations, const Slots& slots) {
  Arena::Mark mark(pass_.arena);
  const Exchange exchange = make_exchange();
  for (int64_t sample = 0; sample < pass_.layout.samples; ++sample) {
    Arena::Mark mark_of_sample(pass_.arena);
    attend(exchange, make_sample(sample, activations, slots), {.sort = true});
  }
}

void HeadExchange::attend(const AttentionActivations& activations, const Slots& slots) {
  fetch(activations, slots, {});
}

void HeadExchange::backward(const AttentionActivations& activations, const Slots& slots,
                            const AttentionGradients& gradients) {
  // The output is known then.
  if (!exchange_) fetch(activations, slots, {.send_back = false});
  for (const Sample& sample : samples_) {
    const auto own = [&](const View& gradient) { return pass_.rows_of(gradient, sample.index); };
    backward(*exchange_, sample,
             {.dout = own(gradients.dout),
              .dquery = own(gradients.dquery),
              .dkey = {},
              .dvalue = own(gradients.dvalue)});
  }
}

void HeadExchange::fetch(const AttentionActivations& activations, const Slots& slots, Steps steps) {
  exchange_.emplace(make_exchange());
  samples_.clear();
  for (int64_t sample = 0; sample < pass_.layout.samples; ++sample) {
    samples_.push_back(make_sample(sample, activations, slots));
    attend(*exchange_, samples_.back(), steps);
  }
}

void HeadExchange::attend(const Exchange& exchange, const Sample& sample, Steps steps) const {
  Arena::Mark mark(pass_.arena);
  const HeadTransposition& heads = exchange.heads;
  const View query = heads.pack(sample.own.query);
  const View value = heads.pack(sample.own.value);
  const View& out = query;  // piece by piece
  std::vector<Pending> queries;
  std::vector<Pending> values;
  for (int i = 0; i < heads.pieces(); ++i) {
    const AttentionActivations part = Piece(heads, i).of(sample.whole);
    queries.push_back(heads.start_in(query, i, part.query));
    values.push_back(heads.start_in(value, i, part.value));
  }
  std::vector<Pending> returning;
  for (int i = 0; i < heads.pieces(); ++i) {
    const Piece piece(heads, i);
    const AttentionActivations part = piece.of(sample.whole);
    const HeadAttention attention = attention_of(exchange, sample, i);
    queries[static_cast<size_t>(i)].wait();
    if (steps.sort && !piece.empty()) attention.hash_and_sort(part.query, piece.of(sample.slots));
    values[static_cast<size_t>(i)].wait();
    if (!piece.empty()) {
      attention.attend(part, piece.of(sample.slots));
      if (steps.sort && observer_) observer_(attention.observed(part, piece.of(sample.slots)));
    }
    if (steps.send_back) returning.push_back(heads.start_out(part.out, i, out));
  }
  wait_for_all(returning);
  if (steps.send_back) heads.unpack(out, sample.own.out);
}

void HeadExchange::backward(const Exchange& exchange, const Sample& sample,
                            const AttentionGradients& gradients) const {
  Arena::Mark mark(pass_.arena);
  const HeadTransposition& heads = exchange.heads;
  const View dout = heads.pack(gradients.dout);
  const View& dquery = dout;  // piece by piece
  const View dvalue = heads.allocate_packed();
  const auto allocate = [&] {
    return pass_.exchange_memory(pass_.spec.compute_dtype, sample.whole.query.shape());
  };
  const AttentionGradients whole{
      .dout = allocate(), .dquery = allocate(), .dkey = {}, .dvalue = allocate()};
  std::vector<Pending> arriving;
  for (int i = 0; i < heads.pieces(); ++i) {
    arriving.push_back(heads.start_in(dout, i, Piece(heads, i).of(whole.dout)));
  }
  std::vector<Pending> returning;
  for (int i = 0; i < heads.pieces(); ++i) {
    const Piece piece(heads, i);
    const AttentionGradients part{.dout = piece.of(whole.dout),
                                  .dquery = piece.of(whole.dquery),
                                  .dkey = {},
                                  .dvalue = piece.of(whole.dvalue)};
    arriving[static_cast<size_t>(i)].wait();
    if (!piece.empty()) {
      attention_of(exchange, sample, i)
          .backward(piece.of(sample.whole), piece.of(sample.slots), part);
    }
    returning.push_back(heads.start_out(part.dquery, i, dquery));
    returning.push_back(heads.start_out(part.dvalue, i, dvalue));
  }
  wait_for_all(returning);
  heads.unpack(dquery, gradients.dquery);
  heads.unpack(dvalue, gradients.dvalue);
}

HeadExchange::Exchange HeadExchange::make_exchange() const {
  const HeadTransposition heads(pass_, layer_, group_, pass_.sequence->tokens);
  return {heads, heads.gather_mask(pass_.mask)};
}

HeadExchange::Sample HeadExchange::make_sample(int64_t index,
                                               const AttentionActivations& activations,
                                               const Slots& slots) const {
  Sample sample{.index = index, .own = {}, .whole = {}, .slots = {}};
  sample.own.query = pass_.rows_of(activations.query, index);
  sample.own.value = pass_.rows_of(activations.value, index);
  sample.own.out = pass_.rows_of(activations.out, index);
  const int64_t heads = group_.own_share(pattern().heads).elements();
  const auto allocate = [&] {
    return pass_.exchange_memory(pass_.spec.compute_dtype, {length() * heads, pattern().head_dim});
  };
  sample.whole.query = allocate();
  sample.whole.value = allocate();
  sample.whole.out = allocate();
  sample.whole.lse = pass_.exchange_memory(DType::kFloat32, {heads, length()});
  if (slots.order.defined()) {
    const auto lists = [&](const View& view) {
      return view.rows(index, index + 1)
          .reshape({view.shape()[1], view.shape()[2], view.shape()[3]});
    };
    sample.slots = {.order = lists(slots.order), .bucket_begin = lists(slots.bucket_begin)};
  }
  return sample;
}

HeadAttention HeadExchange::attention_of(const Exchange& exchange, const Sample& sample,
                                         int piece) const {
  TokenLayout layout = pass_.layout.slice(sample.index, 0, pass_.layout.length);
  layout.length = length();
  layout.first_position = 0;
  const View mask =
      exchange.mask.defined() ? exchange.mask.rows(sample.index, sample.index + 1) : View();
  return HeadAttention(pass_, layer_, exchange.heads.own_heads(piece), layout, mask);
}

}  // namespace reformer
