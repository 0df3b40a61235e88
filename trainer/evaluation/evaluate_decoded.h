// The loss that a decoder has: every token predicted from what was there before it.
#pragma once

#include "configs/run.pb.h"
#include "trainer/data/dataset.h"
#include "trainer/evaluation/evaluate.h"
#include "trainer/model_state.h"

namespace reformer {

/// Over the same sequences, labels and rotations as `evaluate`, but token by token (decoder.h). In
/// STRICT, LOCAL and FULL layers both agree. In CHUNKED layers `evaluate` lets a token see
/// neighbours that later tokens have chosen; how much lower its loss is, is what that gives away.
/// On one rank. REQUIRES: can_decode(state.spec), and data.length <= spec.max_length.
EvaluationResult evaluate_decoded(const config::Run& run, const Dataset& dataset,
                                  const ModelState& state);

}  // namespace reformer
