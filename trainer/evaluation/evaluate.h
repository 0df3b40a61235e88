// How well a model predicts held-out sequences.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "comm/rank_groups.h"
#include "configs/run.pb.h"
#include "trainer/data/dataset.h"
#include "trainer/evaluation/lsh_health.h"
#include "trainer/model_state.h"

namespace reformer {

struct EvaluationResult {
  double loss = 0;      // nats per counted token
  double accuracy = 0;  // share of counted tokens whose label had the largest logit
  int64_t tokens = 0;   // counted tokens
  // Values outside the range of the residual streams, and NaN: with any, the rest means little.
  int64_t faults = 0;
};

/// "held-out loss 1.2345, 1.7810 bits/byte, accuracy 61.23% over 4096 tokens". `token_name`
/// (dataset.h) is what a token is.
std::string describe(const EvaluationResult& result, const char* token_name);

struct EvaluationOptions {
  const ModelSpec* spec = nullptr;  // attends otherwise than state.spec; parameters alike
  std::optional<uint64_t> seed{};   // of the rotations; otherwise evaluation.seed
  LshHealth* health = nullptr;      // shown the attention of every layer
};

/// Over the held-out sequences that the dataset selects, shared out over the ranks, without
/// dropout, with stored rotations: the same parameters give the same bits at any time, on any mesh
/// of ranks. Collective.
EvaluationResult evaluate(const config::Run& run, const Dataset& dataset, const RankGroups& ranks,
                          ModelState& state, const EvaluationOptions& options = {});

/// Most sequences evaluated at a time: evaluation.micro_batch, or as in training.
int64_t evaluation_micro_batch_of(const config::Run& run);

}  // namespace reformer
