// Cases of attention to parts of the slots, and of the ops around it.
#include <algorithm>
#include <numeric>
#include <string>

#include "kernels/lsh_layout.h"
#include "trainer/checks/op_inputs.h"

namespace reformer {
namespace {

/// The first sequence of a batch with all of its tokens; slots in two parts.
class SplitSequence {
 public:
  SplitSequence(const OpShapes& shapes, Backend& backend, const AttentionPattern& pattern)
      : layout_(shapes.layout),
        pattern_(pattern),
        ring_(pattern, shapes.layout.length),
        sorted_(sort_random_buckets(shapes, backend, pattern)),
        position_(DType::kInt32, {layout_.length}) {
    layout_.samples = 1;
    std::iota(position_.data<int32_t>(), position_.data<int32_t>() + layout_.length, 0);
    const int64_t block = backend.slot_block();
    const int64_t cut = layout_.length / 3 / block * block;
    for (const SlotRange own : {SlotRange{0, cut}, SlotRange{cut, layout_.length}}) {
      const SlotRange around = slots_around(pattern, ring_, own);
      Part part{.own = own,
                .first = parts_.empty() ? 0 : lists() * parts_[0].own.size(),
                .row = Tensor(DType::kInt32, {pattern.heads, pattern.rounds, around.size()})};
      for (int64_t i = 0; i < part.row.elements(); ++i) {
        part.row.data<int32_t>()[i] = token_in(i / around.size(), around.begin + i % around.size());
      }
      parts_.push_back(std::move(part));
    }
    list_tokens();
  }

  struct Part {
    SlotRange own;
    int64_t first = 0;  // its results among those of all parts
    Tensor row;         // Int32 [H, R, slots_around().size()]
  };

  const TokenLayout& layout() const { return layout_; }
  const std::vector<Part>& parts() const { return parts_; }
  /// Heads and rounds.
  int64_t lists() const { return pattern_.heads * pattern_.rounds; }
  /// Int32 [1, H, R, T]: where the results of a token are.
  const View& result_row() const { return result_row_.view(); }

  AttentionPartArgs args(const Part& part) const {
    AttentionPartArgs args{.pattern = pattern_,
                           .length = layout_.length,
                           .own = part.own,
                           .sample = layout_.first_sample,
                           .dropout = {},
                           .query = {},
                           .key = {},
                           .value = {},
                           .position = position_.view(),
                           .row = part.row.view(),
                           .bucket_begin = {},
                           .slot_in = slot_in_.view(),
                           .sums = {},
                           .weights = {}};
    if (is_hashed(pattern_.kind)) {
      const View begin = sorted_.bucket_begin.view().rows(0, 1);
      args.bucket_begin = begin.reshape({pattern_.heads, pattern_.rounds, begin.shape()[3]});
    }
    return args;
  }

  /// The part's rows of `results` [K, width], as [H, R, own.size(), width].
  View results_of(const Part& part, const Tensor& results) const {
    return results.view()
        .rows(part.first, part.first + lists() * part.own.size())
        .reshape({pattern_.heads, pattern_.rounds, part.own.size(), results.shape()[1]});
  }

 private:
  /// The token in a slot that counts from the start of the round, unrolled.
  int32_t token_in(int64_t list, int64_t slot) const {
    const int64_t round = list % pattern_.rounds;
    const int64_t wrapped = ring_.wrap(round * layout_.length + slot);
    return is_hashed(pattern_.kind)
               ? sorted_.order.data<int32_t>()[(list - round) * layout_.length + wrapped]
               : static_cast<int32_t>(wrapped);
  }

  void list_tokens() {
    result_row_ = Tensor(DType::kInt32, {1, pattern_.heads, pattern_.rounds, layout_.length});
    slot_in_ = Tensor(DType::kInt32, {pattern_.heads, layout_.length, pattern_.rounds});
    for (const Part& part : parts_) {
      for (int64_t list = 0; list < lists(); ++list) {
        for (int64_t slot = part.own.begin; slot < part.own.end; ++slot) {
          const int64_t token = token_in(list, slot);
          const int64_t result = part.first + list * part.own.size() + slot - part.own.begin;
          const int64_t head = list / pattern_.rounds;
          result_row_.data<int32_t>()[list * layout_.length + token] = static_cast<int32_t>(result);
          slot_in_.data<int32_t>()[(head * layout_.length + token) * pattern_.rounds +
                                   list % pattern_.rounds] = static_cast<int32_t>(slot);
        }
      }
    }
    if (!corrects_duplicates(pattern_)) slot_in_ = Tensor();
  }

  TokenLayout layout_;
  AttentionPattern pattern_;
  SlotRing ring_;
  SortedSlots sorted_;
  Tensor position_;
  std::vector<Part> parts_;
  Tensor result_row_;
  Tensor slot_in_;
};

/// Forward and backward pass of one pattern, like `attend` in op_cases_attention.cc.
std::vector<Tensor> attend_in_parts(const OpShapes& shapes, Backend& backend,
                                    const AttentionPattern& pattern, float rate) {
  const SplitSequence sequence(shapes, backend, pattern);
  const int64_t length = sequence.layout().length;
  const int64_t results = sequence.lists() * length;
  const Shape rows{length, pattern.heads * pattern.head_dim};
  const bool has_key = !has_shared_query_key(pattern.kind);
  const Dropout dropout{.rate = rate, .key = {.lo = 7, .hi = 8}};
  const Tensor query = normal(rows, 51), value = normal(rows, 52), dout = normal(rows, 53);
  const Tensor key = has_key ? normal(rows, 54) : Tensor();
  Tensor out = floats(rows), lse = floats({1, pattern.heads, length});
  const auto part_args = [&](const SplitSequence::Part& part) {
    AttentionPartArgs args = sequence.args(part);
    args.dropout = dropout;
    args.query = query.view();
    args.key = key.view();
    args.value = value.view();
    return args;
  };

  const Tensor sums = floats({results, pattern.head_dim}),
               weights = floats({results, kRoundWeights});
  for (const SplitSequence::Part& part : sequence.parts()) {
    AttentionPartArgs args = part_args(part);
    args.sums = sequence.results_of(part, sums);
    args.weights = sequence.results_of(part, weights);
    backend.attention_part(args);
  }
  backend.combine_rounds({.layout = sequence.layout(),
                          .pattern = pattern,
                          .dropout = dropout,
                          .row = sequence.result_row(),
                          .sums = sums.view(),
                          .weights = weights.view(),
                          .value = value.view(),
                          .mask = {},
                          .out = out.view(),
                          .lse = lse.view()});

  const Tensor delta = floats({length, pattern.heads});
  backend.head_products(
      {.heads = pattern.heads, .a = dout.view(), .b = out.view(), .products = delta.view()});
  const Tensor lse_of_row = floats({length, pattern.heads});
  for (int64_t i = 0; i < lse.elements(); ++i) {
    lse_of_row.data<float>()[i % length * pattern.heads + i / length] = lse.data<float>()[i];
  }
  const Tensor query_parts = floats(sums.shape()), value_parts = floats(sums.shape());
  const Tensor key_parts = has_key ? floats(sums.shape()) : Tensor();
  for (const SplitSequence::Part& part : sequence.parts()) {
    backend.attention_part_backward(
        {.forward = part_args(part),
         .dout = dout.view(),
         .lse = lse_of_row.view(),
         .delta = delta.view(),
         .dquery = sequence.results_of(part, query_parts),
         .dkey = has_key ? sequence.results_of(part, key_parts) : View(),
         .dvalue = sequence.results_of(part, value_parts)});
  }
  Tensor dquery = floats(rows), dvalue = floats(rows), dkey = has_key ? floats(rows) : Tensor();
  backend.combine_gradients({.layout = sequence.layout(),
                             .pattern = pattern,
                             .row = sequence.result_row(),
                             .query_parts = query_parts.view(),
                             .key_parts = key_parts.view(),
                             .value_parts = value_parts.view(),
                             .dout = dout.view(),
                             .lse = lse.view(),
                             .dquery = dquery.view(),
                             .dkey = dkey.view(),
                             .dvalue = dvalue.view()});
  std::vector<Tensor> all =
      list(std::move(out), std::move(lse), std::move(dquery), std::move(dvalue));
  if (has_key) all.push_back(std::move(dkey));
  return all;
}

}  // namespace

void add_attention_part_cases(const OpShapes& shapes, std::vector<OpCase>& cases) {
  const auto add = [&](const std::string& name, const AttentionPattern& pattern, float rate) {
    cases.push_back(
        {"attention_part " + name,
         [=](Backend& backend) { return attend_in_parts(shapes, backend, pattern, rate); },
         kSummed32, kSummed16});
  };
  const AttentionPattern strict{.heads = shapes.heads(),
                                .head_dim = shapes.scale.head_dim,
                                .rounds = OpShapes::kRounds,
                                .chunk_length = 64,
                                .correct_duplicates = true};
  add("STRICT", strict, 0.1f);
  AttentionPattern chunked = strict;
  chunked.kind = AttentionKind::kChunked;
  chunked.causal = false;
  chunked.correct_duplicates = false;
  add("CHUNKED", chunked, 0);
  AttentionPattern local = strict;
  local.kind = AttentionKind::kLocal;
  local.rounds = 1;
  add("LOCAL", local, 0.1f);

  cases.push_back(
      {"head_products",
       [=](Backend& backend) {
         const Tensor a = normal(shapes.heads_rows(), 70);
         const Tensor b = normal(shapes.heads_rows(), 71);
         Tensor products = floats({shapes.layout.rows(), shapes.heads()});
         backend.head_products(
             {.heads = shapes.heads(), .a = a.view(), .b = b.view(), .products = products.view()});
         return list(std::move(products));
       },
       kSummed32, kSummed32});
  cases.push_back({"gather_rows",
                   [=](Backend& backend) {
                     const int64_t rows = shapes.narrow[0];
                     const Tensor x = normal(shapes.narrow, 72);
                     const Tensor index = integers({rows / 2}, 73, rows);
                     for (int64_t i = 0; i < index.elements(); i += 5)
                       index.data<int32_t>()[i] = -1;
                     Tensor y = floats({rows / 2, shapes.narrow[1]});
                     backend.gather_rows({.x = x.view(), .index = index.view(), .y = y.view()});
                     return list(std::move(y));
                   },
                   kExact, kExact});
}

}  // namespace reformer
