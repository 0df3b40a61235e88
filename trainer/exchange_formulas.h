// What the attention of shared sequences sends by closed formulas, to be set beside what is planned
// or counted.
#pragma once

#include <cstdint>

#include "comm/mesh.h"
#include "trainer/config/config.h"

namespace reformer {

/// Bytes that a rank sends in a step for all its layers. U is one activation of its tokens without
/// what stays on the rank: rows · H · D · (P − 1) / P numbers, shared by P ranks. Small things
/// (logarithms of sums, positions, counts, halos) are left out.
struct ExchangeFormulas {
  // 9 U in LSH layers whose heads are shared: queries and values go in and outputs out, twice, then
  // one gradient in and two out. FULL layers, which share nothing else, have the same.
  double heads = 0;
  // LSH layers whose buckets are shared, R rounds. Nine such U a round where every token had to go
  // to another rank in each round, and none of the ranks had it already:
  double buckets_most = 0;
  // Tokens go once to each rank: P (1 − (1 − 1/P)^R) ranks of tokens in buckets that are spread
  // evenly. Five of the nine are sent so, the four of results for each round, in Float32.
  double buckets_even = 0;
};

ExchangeFormulas exchange_formulas(const RunConfig& config, const Mesh& place, int64_t sequences);

}  // namespace reformer
