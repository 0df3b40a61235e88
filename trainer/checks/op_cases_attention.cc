// Cases of hashing, sorting and attention.
#include <array>
#include <string>

#include "kernels/lsh_layout.h"
#include "trainer/checks/op_inputs.h"

namespace reformer {
namespace {

/// Forward and backward pass of one pattern, in the order of random buckets.
std::vector<Tensor> attend(const OpShapes& shapes, Backend& backend,
                           const AttentionPattern& pattern, float rate) {
  const Shape rows = shapes.heads_rows();
  const SortedSlots sorted = sort_random_buckets(shapes, backend, pattern);
  const Tensor query = normal(rows, 51), value = normal(rows, 52), dout = normal(rows, 53);
  Tensor key, dkey;
  if (!has_shared_query_key(pattern.kind)) {
    key = normal(rows, 54);
    dkey = floats(rows);
  }
  Tensor out = floats(rows),
         lse = floats({OpShapes::kSamples, shapes.heads(), shapes.scale.tokens});
  Tensor dquery = floats(rows), dvalue = floats(rows);
  const AttentionArgs forward{.layout = shapes.layout,
                              .pattern = pattern,
                              .dropout = {.rate = rate, .key = {.lo = 7, .hi = 8}},
                              .query = query.view(),
                              .key = key.view(),
                              .value = value.view(),
                              .order = sorted.order.view(),
                              .bucket_begin = sorted.bucket_begin.view(),
                              .mask = {},
                              .out = out.view(),
                              .lse = lse.view()};
  backend.attention(forward);
  backend.attention_backward({.forward = forward,
                              .dout = dout.view(),
                              .dquery = dquery.view(),
                              .dkey = dkey.view(),
                              .dvalue = dvalue.view()});
  std::vector<Tensor> result =
      list(std::move(out), std::move(lse), std::move(dquery), std::move(dvalue));
  if (dkey.view().defined()) result.push_back(std::move(dkey));
  return result;
}

}  // namespace

void add_lsh_cases(const OpShapes& shapes, std::vector<OpCase>& cases) {
  const std::array<int64_t, 2> factors = shapes.buckets();
  const Shape slots{OpShapes::kSamples, shapes.heads(), OpShapes::kRounds, shapes.scale.tokens};
  cases.push_back({"lsh_hash",
                   [=](Backend& backend) {
                     Tensor bucket_of(DType::kInt32, slots);
                     const Tensor query_key = normal(shapes.heads_rows(), 40);
                     const Tensor rotations =
                         normal({shapes.heads(), shapes.scale.head_dim,
                                 OpShapes::kRounds * rotation_columns(factors)},
                                41);
                     backend.lsh_hash({.layout = shapes.layout,
                                       .heads = shapes.heads(),
                                       .rounds = OpShapes::kRounds,
                                       .buckets = factors,
                                       .query_key = query_key.view(),
                                       .rotations = rotations.view(),
                                       .mask = {},
                                       .bucket_of = bucket_of.view()});
                     return list(std::move(bucket_of));
                   },
                   1e-3, 1e-3});
  cases.push_back({"bucket_sort",
                   [=](Backend& backend) {
                     const int64_t count = bucket_count(factors);
                     const Tensor bucket_of = integers(slots, 42, count + 1);
                     Tensor order(DType::kInt32, slots);
                     Tensor begin(DType::kInt32, {slots[0], slots[1], slots[2], count + 2});
                     backend.bucket_sort({.num_buckets = count,
                                          .bucket_of = bucket_of.view(),
                                          .order = order.view(),
                                          .bucket_begin = begin.view()});
                     return list(std::move(order), std::move(begin));
                   },
                   kExact, kExact});
}

void add_attention_cases(const OpShapes& shapes, std::vector<OpCase>& cases) {
  const AttentionPattern base{
      .heads = shapes.heads(), .head_dim = shapes.scale.head_dim, .chunk_length = 64};
  const auto add = [&](const std::string& name, const AttentionPattern& pattern, float rate) {
    cases.push_back({"attention " + name,
                     [=](Backend& backend) { return attend(shapes, backend, pattern, rate); },
                     kSummed32, kSummed16});
  };
  AttentionPattern strict = base;
  strict.rounds = OpShapes::kRounds;
  add("STRICT", strict, 0);
  add("STRICT, dropout", strict, 0.1f);
  strict.correct_duplicates = true;
  add("STRICT, correct_duplicates", strict, 0);
  AttentionPattern chunked = base;
  chunked.kind = AttentionKind::kChunked;
  chunked.rounds = OpShapes::kRounds;
  add("CHUNKED", chunked, 0);
  chunked.causal = false;
  add("CHUNKED, bidirectional", chunked, 0.1f);
  AttentionPattern local = base;
  local.kind = AttentionKind::kLocal;
  add("LOCAL", local, 0.1f);
  AttentionPattern full = base;
  full.kind = AttentionKind::kFull;
  add("FULL", full, 0);

  const int64_t capacity = 256;
  const int64_t listed = 100;
  cases.push_back({"attend_cached",
                   [=](Backend& backend) {
                     const int64_t width = shapes.heads() * shapes.scale.head_dim;
                     AttentionPattern pattern = base;
                     pattern.kind = AttentionKind::kFull;
                     const Tensor query = normal({2, width}, 60), value = normal({2, width}, 61);
                     const Tensor keys = normal({3, capacity, width}, 62);
                     const Tensor values = normal({3, capacity, width}, 63);
                     const Tensor sequence = integers({2}, 64, 3);
                     const Tensor seen = integers({2, shapes.heads(), listed}, 65, capacity);
                     const Tensor count = integers({2, shapes.heads()}, 66, listed + 1);
                     Tensor out = floats({2, width});
                     backend.attend_cached({.pattern = pattern,
                                            .query = query.view(),
                                            .value = value.view(),
                                            .keys = keys.view(),
                                            .values = values.view(),
                                            .sequence = sequence.view(),
                                            .seen = seen.view(),
                                            .seen_count = count.view(),
                                            .out = out.view()});
                     return list(std::move(out));
                   },
                   kSummed32, kSummed16});
}

}  // namespace reformer
