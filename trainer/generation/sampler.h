// Chooses the next token from a model's logits.
#pragma once

#include <cstdint>
#include <span>

namespace reformer {

/// In the order in which they apply.
struct SamplingOptions {
  // Of tokens among the last `repetition_window`, positive logits are divided by it and negative
  // ones multiplied (Keskar et al., CTRL, 2019, section 4.1). >= 1; 1: none.
  double repetition_penalty = 1;
  int64_t repetition_window = 256;  // tokens, >= 0
  double temperature = 1;           // logits are divided by it; 0: always the most likely token
  int64_t top_k = 0;                // only the k most likely tokens; 0: all
  // Only the most likely tokens that together have this much of what top_k left (Holtzman et al.,
  // ICLR 2020, section 3.1): the last one is the one that reaches it. In (0, 1].
  double top_p = 1;
  uint64_t seed = 1;
};

/// The token after `history`, which holds all tokens of the sequence so far, the prompt included. A
/// pure function of the arguments: its one random number is keyed by (options.seed, sequence,
/// history.size()). Of equally likely tokens the one with the smaller number comes first. Throws
/// DivergenceError if a logit is not finite.
int32_t sample_token(std::span<const float> logits, std::span<const int32_t> history,
                     int64_t sequence, const SamplingOptions& options);

}  // namespace reformer
