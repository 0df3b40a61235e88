// From a valid configuration to one in which nothing is left open.
#pragma once

#include <string>

#include "configs/run.pb.h"
#include "trainer/model/model_spec.h"

namespace reformer {

/// Writes every default and every derived number into `run`, drops what has no effect
/// (applicability.h), and makes data.path absolute; a relative one starts at `folder`. Resolving
/// the result again changes nothing. Returns the shape of the model. REQUIRES: validate(run)
/// passed.
ModelSpec resolve(config::Run& run, const std::string& folder);

/// What a layer really is: "LSH STRICT, 2 rounds, 64 buckets, chunk 64", "LOCAL, chunk 128", "FULL
/// (asked LSH; 128 tokens are too few to hash)".
std::string describe_attention(const LayerSpec& layer);

}  // namespace reformer
