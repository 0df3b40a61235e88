// What fits into a given memory: the longest sequences, and the fewest ranks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "kernels/backend.h"
#include "trainer/config/config.h"

namespace reformer {

/// Ranks that can be planned for.
inline constexpr int kMostRanks = 512;

struct Fit {
  int64_t value = 0;  // the length or the number of ranks; 0: none fits
  size_t bytes = 0;   // that the rank takes which takes most, then
  std::string limit;  // what forbids longer ones, or fewer
};

/// The configuration with another data.length. Throws ConfigError where that is not legal.
using ConfigOfLength = std::function<RunConfig(int64_t length)>;

/// The longest data.length of which each of `ranks` ranks takes at most `memory` bytes: a multiple
/// of execution.leaf_tokens.
Fit fit_length(const ConfigOfLength& config_of, const RunConfig& config, int ranks, size_t memory,
               const Backend& on);

/// The fewest ranks, up to `most`, of which each takes at most `memory` bytes.
Fit fit_ranks(const RunConfig& config, size_t memory, const Backend& on, int most = kMostRanks);

}  // namespace reformer
