#include "trainer/model/sequence/halo_exchange.h"

#include <numeric>

#include "trainer/model/sequence/operation_tag.h"

namespace reformer {
namespace {

SlotRange range_of(const Slice& tokens) {
  return {tokens.begin, tokens.end};
}

/// The same rows as elements of a view whose first row is `first`.
Slice slice_of(SlotRange rows, int64_t first, int64_t width) {
  if (rows.empty()) return {};
  return {(rows.begin - first) * width, (rows.end - first) * width};
}

}  // namespace

HaloExchange::HaloExchange(const Pass& pass, int layer)
    : pass_(pass),
      layer_(layer),
      pattern_(pass.spec.layers[static_cast<size_t>(layer)].attention),
      ring_(pattern_, pass.sequence->length) {
  CHECK(pattern_.kind == AttentionKind::kLocal);
  CHECK_EQ(pass.layout.length, own().size());
  CHECK_EQ(own().begin % pass.backend.slot_block(), 0);
}

void HaloExchange::sort_and_attend(const AttentionActivations& activations, const Slots&) {
  Arena::Mark mark(pass_.arena);
  const Tables tables = upload_tables();
  for (int64_t sample = 0; sample < pass_.layout.samples; ++sample) {
    Arena::Mark mark_of_sample(pass_.arena);
    attend(tables, fetch_sample(tables, activations, sample), activations);
  }
}

void HaloExchange::attend(const AttentionActivations& activations, const Slots&) {
  fetch(activations);
  for (const Sample& sample : samples_) attend(*tables_, sample, activations);
}

void HaloExchange::backward(const AttentionActivations& activations, const Slots&,
                            const AttentionGradients& gradients) {
  if (!tables_) fetch(activations);
  for (const Sample& sample : samples_) backward(*tables_, sample, activations, gradients);
}

void HaloExchange::fetch(const AttentionActivations& activations) {
  tables_ = upload_tables();
  samples_.clear();
  for (int64_t sample = 0; sample < pass_.layout.samples; ++sample) {
    samples_.push_back(fetch_sample(*tables_, activations, sample));
  }
}

void HaloExchange::attend(const Tables& tables, const Sample& sample,
                          const AttentionActivations& activations) const {
  Arena::Mark mark(pass_.arena);
  AttentionPartArgs part = part_args(tables, sample);
  part.query = activations_around();
  place(pass_.rows_of(activations.query, sample.index), part.query);
  const Shape results{pattern_.heads, 1, own().size(), pattern_.head_dim};
  const Shape weights{pattern_.heads, 1, own().size(), kRoundWeights};
  const int64_t rows = pattern_.heads * own().size();
  part.sums = pass_.block_memory(results);
  part.weights = pass_.block_memory(weights);
  pass_.backend.attention_part(part);
  const auto of_sample = [&](const View& view) {
    return view.rows(sample.index, sample.index + 1);
  };
  pass_.backend.combine_rounds({.layout = pass_.layout.slice(sample.index, 0, pass_.layout.length),
                                .pattern = pattern_,
                                .dropout = part.dropout,
                                .row = tables.result_row,
                                .sums = part.sums.reshape({rows, pattern_.head_dim}),
                                .weights = part.weights.reshape({rows, kRoundWeights}),
                                .value = pass_.rows_of(activations.value, sample.index),
                                .mask = pass_.mask.defined() ? of_sample(pass_.mask) : View(),
                                .out = pass_.rows_of(activations.out, sample.index),
                                .lse = of_sample(activations.lse)});
}

void HaloExchange::backward(const Tables& tables, const Sample& sample,
                            const AttentionActivations& activations,
                            const AttentionGradients& gradients) const {
  Arena::Mark mark(pass_.arena);
  Backend& backend = pass_.backend;
  const int64_t rows = own().size();
  const View dout = pass_.rows_of(gradients.dout, sample.index);
  const View lse = activations.lse.rows(sample.index, sample.index + 1);
  const View own_delta = pass_.block_memory({rows, pattern_.heads});
  const View own_lse = pass_.block_memory({rows, pattern_.heads});
  backend.head_products({.heads = pattern_.heads,
                         .a = dout,
                         .b = pass_.rows_of(activations.out, sample.index),
                         .products = own_delta});
  backend.gather_rows({.x = lse.reshape({pattern_.heads * rows, 1}),
                       .index = tables.lse_row,
                       .y = own_lse.reshape({rows * pattern_.heads, 1})});

  AttentionPartBackwardArgs part;
  part.forward = part_args(tables, sample);
  part.forward.query = activations_around();
  part.dout = activations_around();
  part.delta = pass_.exchange_memory(DType::kFloat32, {around().size(), pattern_.heads});
  part.lse = pass_.exchange_memory(DType::kFloat32, {around().size(), pattern_.heads});
  Pending fetches[] = {
      start_fetch(pass_.rows_of(activations.query, sample.index), part.forward.query,
                  Reach::kSeeing),
      start_fetch(dout, part.dout, Reach::kSeeing),
      start_fetch(own_delta, part.delta, Reach::kSeeing),
      start_fetch(own_lse, part.lse, Reach::kSeeing),
  };
  for (Pending& fetch : fetches) fetch.wait();

  const auto results = [&] {
    return pass_.block_memory({pattern_.heads, 1, rows, pattern_.head_dim});
  };
  part.dquery = results();
  part.dkey = results();
  part.dvalue = results();
  backend.attention_part_backward(part);
  const Shape parts{pattern_.heads * rows, pattern_.head_dim};
  backend.combine_gradients({.layout = pass_.layout.slice(sample.index, 0, rows),
                             .pattern = pattern_,
                             .row = tables.result_row,
                             .query_parts = part.dquery.reshape(parts),
                             .key_parts = part.dkey.reshape(parts),
                             .value_parts = part.dvalue.reshape(parts),
                             .dout = dout,
                             .lse = lse,
                             .dquery = pass_.rows_of(gradients.dquery, sample.index),
                             .dkey = pass_.rows_of(gradients.dkey, sample.index),
                             .dvalue = pass_.rows_of(gradients.dvalue, sample.index)});
}

AttentionPartArgs HaloExchange::part_args(const Tables& tables, const Sample& sample) const {
  return {.pattern = pattern_,
          .length = ring_.length(),
          .own = own(),
          .sample = pass_.layout.first_sample + sample.index,
          .dropout = pass_.dropout(layer_, DropoutSite::kAttentionWeights),
          .query = {},
          .key = sample.key,
          .value = sample.value,
          .position = sample.position,
          .row = tables.row,
          .bucket_begin = {},
          .slot_in = {},
          .sums = {},
          .weights = {}};
}

// ---- what is fetched -----------------------------------------------------------------------

HaloExchange::Tables HaloExchange::upload_tables() const {
  const int64_t heads = pattern_.heads;
  const int64_t tokens = own().size();
  const int64_t rows = around().size();
  std::vector<int32_t> row(static_cast<size_t>(heads * rows));
  for (size_t i = 0; i < row.size(); ++i) {
    row[i] = static_cast<int32_t>(static_cast<int64_t>(i) % rows);
  }
  std::vector<int32_t> position(static_cast<size_t>(rows));
  std::iota(position.begin(), position.end(), static_cast<int32_t>(around().begin));
  std::vector<int32_t> result_row(static_cast<size_t>(heads * tokens));
  std::iota(result_row.begin(), result_row.end(), 0);
  std::vector<int32_t> lse_row;
  for (int64_t token = 0; token < tokens; ++token) {
    for (int64_t head = 0; head < heads; ++head) {
      lse_row.push_back(static_cast<int32_t>(head * tokens + token));
    }
  }
  return {.row = pass_.upload_index(row, {heads, 1, rows}),
          .position = pass_.upload_index(position, {rows}),
          .result_row = pass_.upload_index(result_row, {1, heads, 1, tokens}),
          .lse_row = pass_.upload_index(lse_row, {tokens * heads})};
}

HaloExchange::Sample HaloExchange::fetch_sample(const Tables& tables,
                                                const AttentionActivations& activations,
                                                int64_t index) const {
  const Sample sample{.index = index,
                      .position = pass_.mask.defined() ? fetch_positions(index) : tables.position,
                      .key = activations_around(),
                      .value = activations_around()};
  Pending key = start_fetch(pass_.rows_of(activations.key, index), sample.key, Reach::kSeen);
  start_fetch(pass_.rows_of(activations.value, index), sample.value, Reach::kSeen).wait();
  key.wait();
  return sample;
}

View HaloExchange::fetch_positions(int64_t sample) const {
  const SlotRange rows = around();
  const View mask = pass_.exchange_memory(DType::kUint8, {rows.size()});
  start_fetch(pass_.mask.rows(sample, sample + 1).reshape({own().size()}), mask, Reach::kAround)
      .wait();
  std::vector<uint8_t> keeps(static_cast<size_t>(rows.size()));
  pass_.backend.download(mask, keeps.data());
  std::vector<int32_t> positions;
  for (int64_t row = 0; row < rows.size(); ++row) {
    const auto position = static_cast<int32_t>(rows.begin + row);
    positions.push_back(keeps[static_cast<size_t>(row)] != 0 ? position : ~position);
  }
  return pass_.upload_index(positions, {rows.size()});
}

SlotRange HaloExchange::own() const {
  return range_of(pass_.sequence->own_tokens());
}

SlotRange HaloExchange::reach_of(int rank, Reach reach) const {
  const SlotRange tokens = range_of(pass_.sequence->tokens[static_cast<size_t>(rank)]);
  if (reach == Reach::kAround) return slots_around(pattern_, ring_, tokens);
  // Both ends ascend with the slot.
  const auto of = [&](int64_t slot) {
    return reach == Reach::kSeen ? keys_seen_from(pattern_, ring_, slot, {})
                                 : queries_seeing(pattern_, ring_, slot, {});
  };
  return hull(tokens, {of(tokens.begin).begin, of(tokens.end - 1).end});
}

Pending HaloExchange::start_fetch(const View& here, const View& all, Reach reach) const {
  const SequenceGroup& sequence = *pass_.sequence;
  const int64_t width = here.elements() / here.shape()[0];
  const SlotRange rows = reach_of(sequence.ranks.rank(), reach);
  const int64_t first = around().begin;
  fill_zero_outside(rows, all);
  std::vector<Slice> sent;
  std::vector<Slice> received;
  for (int rank = 0; rank < sequence.ranks.size(); ++rank) {
    const SlotRange theirs = range_of(sequence.tokens[static_cast<size_t>(rank)]);
    sent.push_back(slice_of(intersection(own(), reach_of(rank, reach)), own().begin, width));
    received.push_back(slice_of(intersection(theirs, rows), first, width));
  }
  return sequence.ranks.start_all_to_all(here, std::move(sent), all, std::move(received),
                                         attention_tag(layer_, "halo"));
}

void HaloExchange::place(const View& here, const View& all) const {
  const int64_t first = around().begin;
  fill_zero_outside(own(), all);
  pass_.backend.copy(here, all.rows(own().begin - first, own().end - first));
}

void HaloExchange::fill_zero_outside(SlotRange rows, const View& all) const {
  const int64_t first = around().begin;
  pass_.backend.fill_zero(all.rows(0, rows.begin - first));
  pass_.backend.fill_zero(all.rows(rows.end - first, all.shape()[0]));
}

View HaloExchange::activations_around() const {
  return pass_.exchange_memory(pass_.spec.compute_dtype,
                               {around().size(), pattern_.heads * pattern_.head_dim});
}

}  // namespace reformer
