#include "kernels/cuda/attention_frame.h"

namespace reformer::cuda {

AttentionFrame::AttentionFrame(const AttentionArgs& args)
    : pattern(args.pattern),
      samples(args.layout.samples),
      length(args.layout.length),
      rows(length),
      own{0, length},
      window(slots_around(pattern, ring(), own)),
      is_part(false),
      numbers(numbers_by_head(length)),
      first_sample(args.layout.first_sample),
      first_head(args.first_head),
      dropout(args.dropout),
      query(args.query),
      key(has_shared_query_key(pattern.kind) ? args.query : args.key),
      value(args.value),
      bucket_begin(args.bucket_begin),
      order(args.order),
      mask(args.mask) {}

AttentionFrame::AttentionFrame(const AttentionPartArgs& args)
    : pattern(args.pattern),
      samples(1),
      length(args.length),
      rows(args.query.shape()[0]),
      own(args.own),
      window(slots_around(pattern, ring(), own)),
      is_part(true),
      numbers(numbers_by_row(rows, pattern.heads)),
      first_sample(args.sample),
      first_head(args.first_head),
      dropout(args.dropout),
      query(args.query),
      key(has_shared_query_key(pattern.kind) ? args.query : args.key),
      value(args.value),
      bucket_begin(args.bucket_begin),
      position(args.position),
      row(args.row),
      slot_in(args.slot_in) {}

}  // namespace reformer::cuda
