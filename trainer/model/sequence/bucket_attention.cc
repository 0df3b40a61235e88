#include "trainer/model/sequence/bucket_attention.h"

#include <limits>
#include <numeric>
#include <utility>

#include "trainer/model/head_attention.h"
#include "trainer/model/sequence/operation_tag.h"

namespace reformer {
namespace {

AttentionPattern with_heads(AttentionPattern pattern, int64_t heads) {
  pattern.heads = heads;
  return pattern;
}

int64_t heads_in(const std::vector<Slice>& pieces) {
  return std::accumulate(pieces.begin(), pieces.end(), int64_t{0},
                         [](int64_t sum, const Slice& heads) { return sum + heads.elements(); });
}

int64_t total(const std::vector<int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

/// Lane `index` of [lanes, rows of the lane, …], as rows of the width of [lanes · rows, width].
View rows_of_lane(const View& view, int64_t index, int64_t lanes) {
  const int64_t rows = view.shape()[0] / lanes;
  return view.rows(index * rows, (index + 1) * rows);
}

}  // namespace

BucketAttention::BucketAttention(const Pass& pass, int layer, const BucketShare& share)
    : pass_(pass),
      layer_(layer),
      share_(share),
      pattern_(with_heads(spec().attention, heads_in(share.heads))),
      windows_(pattern_, share.length, pass.backend.slot_block(), share.ranks.size()) {
  CHECK_LE(share.layout.rows() * pattern_.heads, std::numeric_limits<int32_t>::max());
}

// ---- slots ---------------------------------------------------------------------------------

Slots BucketAttention::allocate_slots() const {
  const auto allocate = [&](int64_t extent) {
    return pass_.arena.allocate(DType::kInt32,
                                {share_.layout.samples, pattern_.heads, rounds(), extent},
                                MemoryUse::kSlots);
  };
  Slots slots;
  slots.slot = allocate(tokens());
  slots.bucket_begin = allocate(bucket_count(spec().buckets) + 2);
  return slots;
}

void BucketAttention::hash_and_number(const View& query, const Slots& slots) {
  if (lanes() == 0) return;
  const Arena::Mark mark(pass_.arena);
  const View bucket_of = pass_.arena.allocate(DType::kInt32, slots.slot.shape(), MemoryUse::kBlock);
  const View of_lanes = bucket_of.reshape({lanes(), rounds(), tokens()});
  for (int64_t sample = 0, lane = 0; sample < share_.layout.samples; ++sample) {
    for (const Slice& piece : share_.heads) {
      const int64_t count = piece.elements();
      if (count == 0) continue;
      const Arena::Mark mark_of_piece(pass_.arena);
      const HeadAttention heads(pass_, layer_, piece, layout_of(sample), mask_of(sample));
      heads.hash(rows(query)
                     .rows(lane * tokens(), (lane + count) * tokens())
                     .reshape({tokens(), count * pattern_.head_dim}),
                 heads.upload_rotations(),
                 of_lanes.rows(lane, lane + count).reshape({1, count, rounds(), tokens()}));
      lane += count;
    }
  }
  std::vector<int32_t> buckets(static_cast<size_t>(bucket_of.elements()));
  pass_.backend.download(bucket_of, buckets.data());
  const NumberedSlots numbered =
      number_slots(share_.ranks, tokens(), bucket_count(spec().buckets), std::move(buckets),
                   attention_tag(layer_, "slot counts"));
  upload(numbered.slots, slots.slot);
  upload(numbered.bucket_begin, slots.bucket_begin);
}

void BucketAttention::load_slots(const Slots& slots) {
  slots_.resize(static_cast<size_t>(slots.slot.elements()));
  pass_.backend.download(slots.slot, slots_.data());
  std::vector<int32_t> bucket_begin(static_cast<size_t>(slots.bucket_begin.elements()));
  pass_.backend.download(slots.bucket_begin, bucket_begin.data());
  const int64_t masked_bucket = bucket_count(spec().buckets);
  for (int64_t lane = 0; lane < lanes(); ++lane) {
    // The same in all rounds.
    const int64_t first = lane * rounds() * (masked_bucket + 2) + masked_bucket;
    first_masked_.push_back(bucket_begin[static_cast<size_t>(first)]);
  }
  if (!pass_.backend.computes()) {
    const int64_t first = share_.layout.first_position;
    slots_ = made_up_slots(windows_, {first, first + tokens()}, lanes());
  }
}

std::span<const int32_t> BucketAttention::slots_of(const Lane& lane) const {
  const auto size = static_cast<size_t>(rounds() * tokens());
  return std::span(slots_).subspan(static_cast<size_t>(lane.index) * size, size);
}

// ---- routes --------------------------------------------------------------------------------

void BucketAttention::prepare(const Slots& slots) {
  if (!lanes_.empty()) return;
  load_slots(slots);
  upload_permutations();
  std::vector<LaneRoute> routes =
      make_routes(share_.ranks, windows_, tokens(), slots_,
                  /*planned=*/!pass_.backend.computes(), attention_tag(layer_, "slot counts"));
  for (int64_t index = 0; index < lanes(); ++index) {
    make_lane(index, std::move(routes[static_cast<size_t>(index)]));
  }
}

void BucketAttention::upload_permutations() {
  std::vector<int32_t> to_lanes;
  std::vector<int32_t> to_rows(static_cast<size_t>(lanes() * tokens()));
  for (int64_t lane = 0; lane < lanes(); ++lane) {
    const Rows rows = rows_of(lane);
    for (int64_t token = 0; token < tokens(); ++token) {
      to_rows[static_cast<size_t>(rows.of(token))] = static_cast<int32_t>(to_lanes.size());
      to_lanes.push_back(rows.of(token));
    }
  }
  to_lanes_ = pass_.upload_index(to_lanes, {lanes() * tokens()});
  to_rows_ = pass_.upload_index(to_rows, {lanes() * tokens()});
}

void BucketAttention::make_lane(int64_t index, LaneRoute route) {
  Lane& lane = lanes_.emplace_back();
  lane.index = index;
  lane.sample = index / pattern_.heads;
  lane.head = index % pattern_.heads;
  lane.route = std::move(route);

  const int64_t held = total(lane.route.tokens_from);
  const Rows rows = rows_of(index);
  std::vector<int32_t> sent;
  for (const int32_t token : lane.route.leaving.tokens) sent.push_back(rows.of(token));
  lane.sent = integers({most_sent()}).rows(0, static_cast<int64_t>(sent.size()));
  lane.result_row = integers({1, 1, rounds(), tokens()});
  lane.query = activation(most_held()).rows(0, held);
  lane.value = activation(most_held()).rows(0, held);
  lane.position = integers({most_held()}).rows(0, held);
  lane.row = integers({1, rounds(), windows_.held(share_.ranks.rank())});
  if (pattern_.correct_duplicates) {
    lane.slot_in = integers({most_held(), rounds()}).rows(0, held).reshape({1, held, rounds()});
  }
  lane.results = integers({own_results()});
  upload(sent, lane.sent);
  upload(result_rows(windows_, lane.route.leaving, tokens(), slots_of(lane)), lane.result_row);
}

// ---- what travels --------------------------------------------------------------------------

void BucketAttention::send(const Lane& lane, const AttentionActivations& activations, Leg& leg) {
  const View query = leg.sent[0].rows(0, lane.sent.elements());
  const View value = leg.sent[1].rows(0, lane.sent.elements());
  gather(rows(activations.query), lane.sent, query);
  gather(rows(activations.value), lane.sent, value);
  leg.exchange =
      RowExchange(share_.ranks, lane.route.leaving.tokens_to, lane.route.tokens_from,
                  {{query, lane.query}, {value, lane.value}}, attention_tag(layer_, "slots in"));
  send_labels(lane);
}

void BucketAttention::send_labels(const Lane& lane) {
  Labels& labels = labels_[static_cast<size_t>(lane.index % 2)];
  labels.sent =
      label_tokens(windows_, lane.route.leaving, slots_of(lane), share_.layout.first_position,
                   first_masked_[static_cast<size_t>(lane.index)]);
  labels.received = Tensor(DType::kInt32, {total(lane.route.tokens_from), 1 + rounds()});
  labels.exchange = RowExchange(share_.ranks, lane.route.leaving.tokens_to, lane.route.tokens_from,
                                {{labels.sent.view(), labels.received.view()}},
                                attention_tag(layer_, "slots in"));
}

void BucketAttention::receive(const Lane& lane, Leg& leg) {
  Labels& labels = labels_[static_cast<size_t>(lane.index % 2)];
  labels.exchange.wait();
  if (pass_.backend.computes()) {  // made-up slots fill no window
    const Arrivals arrived = arrivals(
        windows_, share_.ranks.rank(), lane.route.tokens_from,
        {labels.received.data<int32_t>(), static_cast<size_t>(labels.received.elements())});
    upload(arrived.position, lane.position);
    upload(arrived.row, lane.row);
    if (lane.slot_in.defined()) upload(arrived.slot_in, lane.slot_in);
    upload(arrived.results, lane.results);
  }
  leg.exchange.wait();
}

void BucketAttention::fetch(const AttentionActivations& activations) {
  const Arena::Mark mark(pass_.arena);
  Legs outward = make_legs(pass_.arena, {activation_format(), activation_format()}, most_sent(), 0);
  run_lanes(lanes_.size(),
            {.start = [&](size_t i) { send(lanes_[i], activations, outward[i % 2]); },
             .compute = [&](size_t i) { receive(lanes_[i], outward[i % 2]); },
             .finish = {}});
  fetched_ = true;
}

void BucketAttention::return_results(const Lane& lane, const View& first, const View& second,
                                     Leg& leg) const {
  gather(first.reshape(leg.sent[0].shape()), lane.results, leg.sent[0]);
  gather(second.reshape(leg.sent[1].shape()), lane.results, leg.sent[1]);
  leg.exchange = RowExchange(share_.ranks, lane.route.results_to, lane.route.leaving.results_from,
                             {{leg.sent[0], leg.received[0]}, {leg.sent[1], leg.received[1]}},
                             attention_tag(layer_, "slots out"));
}

// ---- attention -----------------------------------------------------------------------------

void BucketAttention::attend(const AttentionActivations& activations, const Slots& slots) {
  if (lanes() == 0) return;
  prepare(slots);
  const Arena::Mark mark(pass_.arena);
  Legs outward = make_legs(pass_.arena, {activation_format(), activation_format()}, most_sent(), 0);
  Legs homeward = make_legs(pass_.arena, {{.width = pattern_.head_dim}, {.width = kRoundWeights}},
                            own_results(), rounds() * tokens());
  const View sums = part_memory(pattern_.head_dim);
  const View weights = part_memory(kRoundWeights);
  const View value = activation(tokens());
  const View out = activation(lanes() * tokens());
  const View lse = activations.lse.reshape({lanes(), 1, tokens()});

  const auto attend_to_own = [&](const Lane& lane) {
    if (own().empty()) return;
    AttentionPartArgs args = part_args(lane, slots);
    args.sums = sums;
    args.weights = weights;
    pass_.backend.attention_part(args);
  };
  const auto combine = [&](const Lane& lane, Leg& leg) {
    gather(rows(activations.value), rows_of_lane(to_lanes_, lane.index, lanes()), value);
    leg.exchange.wait();
    pass_.backend.combine_rounds({.layout = layout_of(lane.sample),
                                  .pattern = with_heads(pattern_, 1),
                                  .dropout = pass_.dropout(layer_, DropoutSite::kAttentionWeights),
                                  .row = lane.result_row,
                                  .sums = leg.received[0],
                                  .weights = leg.received[1],
                                  .value = value,
                                  .mask = mask_of(lane.sample),
                                  .out = rows_of_lane(out, lane.index, lanes()),
                                  .lse = lse.rows(lane.index, lane.index + 1)});
  };
  run_lanes(lanes_.size(),
            {.start = [&](size_t i) { send(lanes_[i], activations, outward[i % 2]); },
             .compute =
                 [&](size_t i) {
                   receive(lanes_[i], outward[i % 2]);
                   attend_to_own(lanes_[i]);
                   return_results(lanes_[i], sums, weights, homeward[i % 2]);
                 },
             .finish = [&](size_t i) { combine(lanes_[i], homeward[i % 2]); }});
  gather(out, to_rows_, rows(activations.out));
  fetched_ = true;
}

void BucketAttention::backward(const AttentionActivations& activations, const Slots& slots,
                               const AttentionGradients& gradients) {
  if (lanes() == 0) return;
  prepare(slots);
  if (!fetched_) fetch(activations);
  const Arena::Mark mark(pass_.arena);
  const int64_t all = lanes() * tokens();
  const View lse = pass_.block_memory({all, 1});
  const View delta = pass_.block_memory({all, 1});
  gather(activations.lse.reshape({all, 1}), to_rows_, lse);
  pass_.backend.head_products(
      {.heads = 1, .a = rows(gradients.dout), .b = rows(activations.out), .products = delta});

  Legs outward = make_legs(pass_.arena, {activation_format(), {}, {}}, most_sent(), most_held());
  Legs homeward =
      make_legs(pass_.arena, {{.width = pattern_.head_dim}, {.width = pattern_.head_dim}},
                own_results(), rounds() * tokens());
  const View query_part = part_memory(pattern_.head_dim);
  const View value_part = part_memory(pattern_.head_dim);
  const View dout = activation(tokens());
  const View dquery = activation(all);
  const View dvalue = activation(all);

  const auto send_gradients = [&](const Lane& lane, Leg& leg) {
    const int64_t count = lane.sent.elements();
    gather(rows(gradients.dout), lane.sent, leg.sent[0].rows(0, count));
    gather(lse, lane.sent, leg.sent[1].rows(0, count));
    gather(delta, lane.sent, leg.sent[2].rows(0, count));
    leg.exchange = RowExchange(share_.ranks, lane.route.leaving.tokens_to, lane.route.tokens_from,
                               {{leg.sent[0], leg.received[0]},
                                {leg.sent[1], leg.received[1]},
                                {leg.sent[2], leg.received[2]}},
                               attention_tag(layer_, "slots in"));
  };
  const auto attend_backward = [&](const Lane& lane, Leg& leg) {
    leg.exchange.wait();
    if (own().empty()) return;
    const int64_t held = lane.position.elements();
    pass_.backend.attention_part_backward({.forward = part_args(lane, slots),
                                           .dout = leg.received[0].rows(0, held),
                                           .lse = leg.received[1].rows(0, held),
                                           .delta = leg.received[2].rows(0, held),
                                           .dquery = query_part,
                                           .dkey = {},
                                           .dvalue = value_part});
  };
  const auto combine = [&](const Lane& lane, Leg& leg) {
    gather(rows(gradients.dout), rows_of_lane(to_lanes_, lane.index, lanes()), dout);
    leg.exchange.wait();
    pass_.backend.combine_gradients(
        {.layout = layout_of(lane.sample),
         .pattern = with_heads(pattern_, 1),
         .row = lane.result_row,
         .query_parts = leg.received[0],
         .key_parts = {},
         .value_parts = leg.received[1],
         .dout = dout,
         .lse = activations.lse.reshape({lanes(), 1, tokens()}).rows(lane.index, lane.index + 1),
         .dquery = rows_of_lane(dquery, lane.index, lanes()),
         .dkey = {},
         .dvalue = rows_of_lane(dvalue, lane.index, lanes())});
  };
  run_lanes(lanes_.size(), {.start = [&](size_t i) { send_gradients(lanes_[i], outward[i % 2]); },
                            .compute =
                                [&](size_t i) {
                                  attend_backward(lanes_[i], outward[i % 2]);
                                  return_results(lanes_[i], query_part, value_part,
                                                 homeward[i % 2]);
                                },
                            .finish = [&](size_t i) { combine(lanes_[i], homeward[i % 2]); }});
  gather(dquery, to_rows_, rows(gradients.dquery));
  gather(dvalue, to_rows_, rows(gradients.dvalue));
}

// ---- arguments of ops ----------------------------------------------------------------------

AttentionPartArgs BucketAttention::part_args(const Lane& lane, const Slots& slots) const {
  const int64_t bounds = slots.bucket_begin.shape()[3];
  return {
      .pattern = with_heads(pattern_, 1),
      .length = share_.length,
      .own = own(),
      .sample = share_.layout.first_sample + lane.sample,
      .first_head = share_.heads.front().begin + lane.head,
      .dropout = pass_.dropout(layer_, DropoutSite::kAttentionWeights),
      .query = lane.query,
      .key = {},
      .value = lane.value,
      .position = lane.position,
      .row = lane.row,
      .bucket_begin =
          slots.bucket_begin.reshape({lanes(), rounds(), bounds}).rows(lane.index, lane.index + 1),
      .slot_in = lane.slot_in,
      .sums = {},
      .weights = {}};
}

TokenLayout BucketAttention::layout_of(int64_t sample) const {
  return share_.layout.slice(sample, 0, tokens());
}

View BucketAttention::mask_of(int64_t sample) const {
  return share_.mask.defined() ? share_.mask.rows(sample, sample + 1) : View();
}

BucketAttention::Rows BucketAttention::rows_of(int64_t lane) const {
  int64_t first_lane = lane / pattern_.heads * pattern_.heads;  // of the piece
  for (const Slice& piece : share_.heads) {
    const int64_t head = lane - first_lane;
    if (head < piece.elements()) {
      return {.first = first_lane * tokens() + head, .stride = piece.elements()};
    }
    first_lane += piece.elements();
  }
  CHECK(!"every lane is in a piece");
  return {};
}

View BucketAttention::rows(const View& activation) const {
  return activation.reshape({lanes() * tokens(), pattern_.head_dim});
}

View BucketAttention::part_memory(int64_t width) const {
  return pass_.block_memory({1, rounds(), own().size(), width});
}

View BucketAttention::activation(int64_t rows) const {
  return pass_.exchange_memory(pass_.spec.compute_dtype, {rows, pattern_.head_dim});
}

View BucketAttention::integers(const Shape& shape) const {
  return pass_.exchange_memory(DType::kInt32, shape);
}

void BucketAttention::upload(std::span<const int32_t> values, const View& view) const {
  CHECK_EQ(static_cast<int64_t>(values.size()), view.elements());
  pass_.backend.upload(values.data(), view);
}

void BucketAttention::gather(const View& x, const View& index, const View& y) const {
  if (index.elements() > 0) pass_.backend.gather_rows({.x = x, .index = index, .y = y});
}

}  // namespace reformer
