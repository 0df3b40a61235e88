// Configurations as text, and what is wrong with them.
#pragma once

#include <string>
#include <vector>

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

}  // namespace reformer::testing
