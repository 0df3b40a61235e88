#include "kernels/op_cost.h"

#include <algorithm>
#include <initializer_list>

#include "kernels/lsh_layout.h"

namespace reformer {
namespace {

double bytes_of(const View& view) {
  return static_cast<double>(view.bytes());
}

double bytes_of(std::initializer_list<View> views) {
  double bytes = 0;
  for (const View& view : views) bytes += bytes_of(view);
  return bytes;
}

/// Of a matrix product over all rows of a layer [in, out].
double product_flops(const TokenLayout& layout, const View& weight) {
  return 2.0 * static_cast<double>(layout.rows()) * static_cast<double>(weight.elements());
}

/// Multiply-adds of one of the products of attention, over all pairs.
double attention_multiply_adds(const AttentionArgs& args) {
  return static_cast<double>(args.query.elements()) *
         visible_keys(args.pattern, args.layout.length);
}

double attention_multiply_adds(const AttentionPartArgs& args) {
  const AttentionPattern& pattern = args.pattern;
  return static_cast<double>(args.own.size() * pattern.heads * pattern.head_dim) *
         visible_keys(pattern, args.length);
}

/// One activation of the tokens in all slots that a part names.
double gathered_bytes(const AttentionPartArgs& args, const View& activation) {
  return static_cast<double>(args.row.elements() * args.pattern.head_dim) *
         (activation.defined() ? static_cast<double>(size_of(activation.dtype())) : 0.0);
}

double gathered_bytes(const AttentionPartArgs& args) {
  return gathered_bytes(args, args.query) + gathered_bytes(args, args.key) +
         gathered_bytes(args, args.value) + bytes_of({args.row, args.bucket_begin, args.slot_in});
}

double gathered_bytes(const AttentionArgs& args) {
  return static_cast<double>(args.pattern.rounds) * bytes_of({args.query, args.key, args.value});
}

}  // namespace

double visible_keys(const AttentionPattern& pattern, int64_t length) {
  const auto tokens = static_cast<double>(length);
  const auto chunk = static_cast<double>(pattern.chunk_length);
  const auto rounds = static_cast<double>(pattern.rounds);
  switch (pattern.kind) {
    case AttentionKind::kStrict:
      return rounds * std::min(chunk, tokens) / 2;
    case AttentionKind::kChunked:
      return rounds * std::min((pattern.causal ? 2 : 3) * chunk, tokens);
    case AttentionKind::kLocal:
      return std::min((pattern.causal ? 1.5 : 3) * chunk, pattern.causal ? tokens / 2 : tokens);
    case AttentionKind::kFull:
      return pattern.causal ? tokens / 2 : tokens;
  }
  return 0;
}

// ---- gemm --------------------------------------------------------------------------------------

OpCost cost_of(const LinearArgs& args) {
  return {.flops = product_flops(args.layout, args.weight),
          .bytes = bytes_of({args.x, args.weight, args.bias, args.y})};
}

OpCost cost_of(const LinearBackwardInputArgs& args) {
  return {.flops = product_flops(args.layout, args.weight),
          .bytes = bytes_of({args.dy, args.weight, args.dx}) +
                   (args.accumulate ? bytes_of(args.dx) : 0.0)};
}

OpCost cost_of(const LinearBackwardWeightArgs& args) {
  return {.flops = product_flops(args.layout, args.dweight),
          .bytes = bytes_of({args.x, args.dy}) + 2 * bytes_of({args.dweight, args.dbias})};
}

// ---- pointwise ---------------------------------------------------------------------------------

OpCost cost_of(const LayerNormArgs& args) {
  return {.bytes = bytes_of({args.x, args.gamma, args.beta, args.y})};
}

OpCost cost_of(const LayerNormBackwardArgs& args) {
  return {.bytes = bytes_of({args.x, args.gamma, args.dy, args.dx}) +
                   (args.accumulate ? bytes_of(args.dx) : 0.0) +
                   2 * bytes_of({args.dgamma, args.dbeta})};
}

OpCost cost_of(const ActivationArgs& args) {
  return {.bytes = bytes_of({args.x, args.y})};
}

OpCost cost_of(const ActivationBackwardArgs& args) {
  return {.bytes = bytes_of({args.x, args.dy, args.dx})};
}

OpCost cost_of(const DropoutArgs& args) {
  return {.bytes = bytes_of({args.x, args.y})};
}

OpCost cost_of(const ResidualArgs& args) {
  return {.bytes = 2 * bytes_of(args.stream) + bytes_of(args.f)};
}

OpCost cost_of(const JoinStreamsArgs& args) {
  return {.bytes = bytes_of({args.x1, args.x2, args.joined})};
}

OpCost cost_of(const SplitStreamsArgs& args) {
  return {.bytes = bytes_of({args.djoined, args.dx1, args.dx2})};
}

// ---- token -------------------------------------------------------------------------------------

OpCost cost_of(const EmbedArgs& args) {
  // A row of the table and one of the positions are read for each row that is written.
  const double positions = args.axes.empty() ? 0 : bytes_of(args.y);
  return {.bytes = bytes_of(args.tokens) + 2 * bytes_of(args.y) + positions};
}

OpCost cost_of(const EmbedBackwardArgs& args) {
  // Every row is added to a row of the table and to one of the positions.
  const double sum = static_cast<double>(args.dy.elements() * 2) *
                     static_cast<double>(size_of(args.dtable.dtype()));
  return {.bytes = bytes_of({args.tokens, args.dy}) + sum + (args.daxes.empty() ? 0.0 : sum)};
}

OpCost cost_of(const CrossEntropyArgs& args) {
  return {.bytes = (args.gradient ? 2 : 1) * bytes_of(args.logits) + bytes_of(args.labels)};
}

// ---- lsh and attention
// ---------------------------------------------------------------------------

OpCost cost_of(const LshHashArgs& args) {
  const double columns = static_cast<double>(args.rounds * rotation_columns(args.buckets));
  return {.flops = 2 * static_cast<double>(args.query_key.elements()) * columns,
          .bytes = bytes_of({args.query_key, args.rotations, args.mask, args.bucket_of})};
}

OpCost cost_of(const BucketSortArgs& args) {
  // Counted, then placed.
  return {.bytes = 2 * bytes_of(args.bucket_of) + bytes_of({args.order, args.bucket_begin})};
}

OpCost cost_of(const AttentionArgs& args) {
  return {.flops = 2 * 2 * attention_multiply_adds(args),
          .bytes = gathered_bytes(args) +
                   bytes_of({args.order, args.bucket_begin, args.mask, args.out, args.lse})};
}

OpCost cost_of(const AttentionBackwardArgs& args) {
  const AttentionArgs& forward = args.forward;
  const auto rounds = static_cast<double>(forward.pattern.rounds);
  return {.flops = 2 * 5 * attention_multiply_adds(forward),
          .bytes = gathered_bytes(forward) + rounds * bytes_of(args.dout) +
                   bytes_of({forward.order, forward.bucket_begin, forward.mask, forward.out,
                             forward.lse, args.dquery, args.dkey, args.dvalue})};
}

OpCost cost_of(const AttendCachedArgs& args) {
  // As if every list were full.
  const double keys = static_cast<double>(args.seen.elements() * args.pattern.head_dim);
  const auto size = static_cast<double>(size_of(args.keys.dtype()));
  return {.flops = 2 * 2 * keys,
          .bytes = 2 * keys * size + bytes_of({args.query, args.value, args.seen, args.out})};
}

OpCost cost_of(const AttentionPartArgs& args) {
  return {.flops = 2 * 2 * attention_multiply_adds(args),
          .bytes = gathered_bytes(args) + bytes_of({args.sums, args.weights})};
}

OpCost cost_of(const AttentionPartBackwardArgs& args) {
  return {.flops = 2 * 5 * attention_multiply_adds(args.forward),
          .bytes = gathered_bytes(args.forward) + gathered_bytes(args.forward, args.dout) +
                   bytes_of({args.lse, args.delta, args.dquery, args.dkey, args.dvalue})};
}

OpCost cost_of(const CombineRoundsArgs& args) {
  // A result of each round is read for each that is written.
  const auto results = static_cast<double>(args.row.elements());
  const auto floats = static_cast<double>(args.pattern.head_dim + kRoundWeights);
  return {.bytes = results * floats * 4 + bytes_of({args.row, args.mask, args.out, args.lse})};
}

OpCost cost_of(const CombineGradientsArgs& args) {
  const auto results = static_cast<double>(args.row.elements() * args.pattern.head_dim);
  const double kinds = args.dkey.defined() ? 3 : 2;
  return {.bytes = kinds * results * 4 +
                   bytes_of({args.row, args.lse, args.dquery, args.dkey, args.dvalue})};
}

OpCost cost_of(const HeadProductsArgs& args) {
  return {.bytes = bytes_of({args.a, args.b, args.products})};
}

OpCost cost_of(const GatherRowsArgs& args) {
  return {.bytes = bytes_of(args.index) + 2 * bytes_of(args.y)};
}

// ---- update ------------------------------------------------------------------------------------

OpCost cost_of(const SumOfSquaresArgs& args) {
  return {.bytes = bytes_of(args.x)};
}

OpCost cost_of(const AdamWArgs& args) {
  return {.bytes = bytes_of(args.gradient) + 2 * bytes_of({args.parameter, args.m, args.v})};
}

OpCost cost_of(const AdafactorArgs& args) {
  // The statistics need the gradient before the update does; the update is written before its size
  // is known.
  return {.bytes = 2 * bytes_of(args.gradient) + 2 * bytes_of({args.update, args.parameter}) +
                   bytes_of(args.parameter) + 2 * bytes_of({args.row, args.column})};
}

}  // namespace reformer
