// Configurations as text, and what is wrong with them.
#pragma once

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "trainer/config/config.h"
#include "trainer/config/resolve.h"

namespace reformer::testing {

/// The smallest valid configuration, one line of text.
inline constexpr const char* kSmallest = "data { path: \"novel.txt\" }\n";

inline RunConfig parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
  return parse_config(text, "t.txtpb", overrides);
}

/// The message with which `text` is refused, or "accepted".
inline std::string error_of(const std::string& text,
                            const std::vector<std::string>& overrides = {}) {
  try {
    parse(text, overrides);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

/// The message with which kSmallest and then `text`, from line 2 on, is refused, or "accepted".
inline std::string error_after_data(const std::string& text) {
  return error_of(kSmallest + text);
}

/// describe_attention of every layer.
inline std::vector<std::string> descriptions(const RunConfig& config) {
  std::vector<std::string> all;
  for (const LayerSpec& layer : config.model.layers) all.push_back(describe_attention(layer));
  return all;
}

/// Every field of a model, so that two models can be compared.
inline std::string text_of(const ModelSpec& spec) {
  std::string text = fmt::format(
      "vocabulary {} width {} ff {} length {} activation {} epsilon {} dropout {} {} stream {} "
      "store {} exact {} leaf {} tile {}\n",
      spec.vocabulary, spec.width, spec.ff_width, spec.max_length,
      static_cast<int>(spec.activation), spec.layer_norm_epsilon, spec.dropout,
      spec.attention_dropout, name_of(spec.stream_dtype), spec.store_activations, spec.exact_sums,
      spec.leaf_tokens, spec.tile_tokens);
  for (const PositionAxis& axis : spec.position_axes) {
    text += fmt::format("axis {} x {}\n", axis.extent, axis.width);
  }
  for (const LayerSpec& layer : spec.layers) {
    const AttentionPattern& attention = layer.attention;
    text +=
        fmt::format("{}; kind {} causal {} heads {} x {} rounds {} chunk {} same {} corr {}",
                    describe_attention(layer), static_cast<int>(attention.kind), attention.causal,
                    attention.heads, attention.head_dim, attention.rounds, attention.chunk_length,
                    attention.same_bucket_only, attention.correct_duplicates);
    for (const int64_t factor : layer.buckets) text += fmt::format(" {}", factor);
    text += '\n';
  }
  return text;
}

inline void expect_round_trip(const RunConfig& config) {
  const std::string text = to_text(config.run);
  // Read from another folder: nothing in the text depends on where it lies.
  const RunConfig again = parse_config(text, "elsewhere/config.txtpb", {});
  EXPECT_EQ(to_text(again.run), text);
  EXPECT_EQ(text_of(again.model), text_of(config.model));
}

}  // namespace reformer::testing
