// Continues texts with a trained model.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/data/tokenizer.h"
#include "trainer/generation/sampler.h"
#include "trainer/model/decoder.h"

namespace reformer {

struct GenerationOptions {
  int64_t max_tokens = 256;  // of each continuation, >= 1
  SamplingOptions sampling{};
  std::vector<std::string> stop{};  // text at which a continuation ends; it is no part of it
};

struct Continuation {
  std::string text;
  std::vector<int32_t> tokens;  // as sampled, those of a stop sequence included
  bool stopped = false;         // by a stop sequence; otherwise at max_tokens
};

/// Called with each new piece of text of continuation `sequence` as soon as it is certain.
using TextSink = std::function<void(size_t sequence, std::string_view text)>;

/// Continues every prompt, side by side. Where prompts stand in the list decides their random
/// numbers. Throws DivergenceError if the model gives no usable logits. REQUIRES: `decoder` is new,
/// has a sequence for each prompt, and room for it with max_tokens − 1 more tokens; no prompt is
/// empty.
std::vector<Continuation> generate(Decoder& decoder, const Tokenizer& tokenizer,
                                   const std::vector<std::vector<int32_t>>& prompts,
                                   const GenerationOptions& options, const TextSink& sink);

}  // namespace reformer
