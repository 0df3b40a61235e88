#include "trainer/exchange_formulas.h"

#include <cmath>

#include "trainer/derive_mesh.h"

namespace reformer {
namespace {

constexpr double kInward = 5;    // queries and values twice, gradients of outputs once
constexpr double kHomeward = 4;  // outputs twice, gradients of queries and values once

/// How many of `ranks` ranks have one of a token's slots, which are anywhere.
double holders(int ranks, int64_t rounds) {
  return ranks * (1 - std::pow(1 - 1.0 / ranks, static_cast<double>(rounds)));
}

}  // namespace

ExchangeFormulas exchange_formulas(const RunConfig& config, const Mesh& place, int64_t sequences) {
  ExchangeFormulas formulas;
  if (place.sequence_size == 1) return formulas;
  const std::vector<Slice> tokens = tokens_of_ranks(config, place);
  const auto rows =
      static_cast<double>(sequences * tokens[static_cast<size_t>(place.sequence_rank)].elements());
  const auto activation = static_cast<double>(size_of(config.model.compute_dtype));
  for (const LayerSpec& layer : config.model.layers) {
    const AttentionPattern& pattern = layer.attention;
    if (pattern.kind == AttentionKind::kLocal) continue;
    const bool hashed = is_hashed(pattern.kind);
    const double numbers = rows * static_cast<double>(pattern.heads * pattern.head_dim);
    const auto leaving = [&](int ranks) { return numbers * (ranks - 1) / ranks; };
    formulas.heads += (kInward + kHomeward) * activation *
                      leaving(hashed ? place.head_size : place.sequence_size);
    if (!hashed) continue;
    const int ranks = place.bucket_size();
    const auto rounds = static_cast<double>(pattern.rounds);
    const double homeward = kHomeward * rounds * size_of(DType::kFloat32) * leaving(ranks);
    formulas.buckets_most += kInward * rounds * activation * leaving(ranks) + homeward;
    formulas.buckets_even +=
        kInward * holders(ranks, pattern.rounds) * activation * leaving(ranks) + homeward;
  }
  return formulas;
}

}  // namespace reformer
