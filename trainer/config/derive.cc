#include "trainer/config/derive.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/check.h"
#include "trainer/config/applicability.h"

namespace reformer {
namespace {

int64_t round_up_to_even(int64_t n) {
  return n + n % 2;
}

int64_t divide_rounding_up(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// ⌊√n⌋. Exact: n is far below 2^53.
int64_t integer_root(int64_t n) {
  return static_cast<int64_t>(std::sqrt(static_cast<double>(n)));
}

/// True if any layer attends to all keys, asked for or not.
bool has_full_layer(const config::Run& run) {
  const bool hashes = max_length_of(run) > longest_unhashed(run.model().lsh());
  for (int64_t layer = 0; layer < run.model().layers(); ++layer) {
    const config::Model::LayerKind kind = layer_kind(run.model(), layer);
    if (kind == config::Model::FULL || (kind == config::Model::LSH && !hashes)) return true;
  }
  return false;
}

/// The pair with the least product >= count, the most square one of those.
std::vector<int64_t> factor_in_two(int64_t count) {
  const int64_t last = integer_root(count);
  std::vector<int64_t> best;
  int64_t best_product = INT64_MAX;
  for (int64_t a = round_up_to_even(integer_root(count / 2)); a <= last; a += 2) {
    const int64_t b = round_up_to_even(divide_rounding_up(count, a));
    if (a * b > best_product) continue;
    best_product = a * b;
    best = {a, b};
  }
  CHECK(!best.empty());
  return best;
}

}  // namespace

std::vector<int64_t> derive_buckets(config::Lsh::Mode mode, int64_t max_length,
                                    int64_t chunk_length) {
  CHECK(max_length >= 1 && chunk_length >= 1);
  const int64_t chunks = max_length / chunk_length;
  const int64_t wanted = mode == config::Lsh::STRICT ? chunks : 2 * chunks;
  const int64_t count = std::max<int64_t>(2, round_up_to_even(wanted));
  if (count <= kLargestPlainBucketCount) return {count};
  return factor_in_two(count);
}

std::vector<int64_t> derive_position_shape(int64_t max_length) {
  CHECK_GE(max_length, 1);
  const int64_t rows = integer_root(max_length);
  return {rows, divide_rounding_up(max_length, rows)};
}

std::vector<int64_t> derive_position_widths(int64_t width) {
  CHECK_GE(width, 2);
  const int64_t first = std::max<int64_t>(1, width / 4);
  return {first, width - first};
}

int64_t longest_unhashed(const config::Lsh& lsh) {
  return std::max(lsh.full_up_to(), 2 * lsh.chunk_length());
}

int64_t max_length_of(const config::Run& run) {
  return run.model().max_length() > 0 ? run.model().max_length() : run.data().length();
}

RanksOfSequence most_ranks_of_sequence(const config::Run& run) {
  const int64_t leaves = divide_rounding_up(run.data().length(), run.execution().leaf_tokens());
  if (has_full_layer(run) && run.model().heads() < leaves) {
    return {.count = run.model().heads(), .part = "of model.heads (a layer is FULL)"};
  }
  return {.count = leaves, .part = "leaf of execution.leaf_tokens"};
}

}  // namespace reformer
