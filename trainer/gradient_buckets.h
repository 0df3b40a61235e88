// Which parameters are reduced together, and who owns what of them.
#pragma once

#include <vector>

#include "comm/buckets.h"
#include "configs/run.pb.h"
#include "trainer/model/model_spec.h"

namespace reformer {

/// One bucket for each part of the model, in the order in which the backward pass finishes them:
/// the head, the layers from the last to the first, the embedding. AdamW's slices are even;
/// Adafactor needs whole tensors, so there none is cut.
std::vector<Bucket> make_buckets(const ModelSpec& spec, config::Optimizer::Kind optimizer,
                                 int ranks);

/// Place in that list of the bucket of a part (ParameterInfo::part).
size_t bucket_of_part(const ModelSpec& spec, int part);

}  // namespace reformer
