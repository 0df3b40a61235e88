#include "trainer/evaluation/lsh_health.h"

#include <algorithm>
#include <cmath>
#include <span>

#include <fmt/format.h>

#include "kernels/core/philox.h"
#include "kernels/download.h"
#include "kernels/lsh_layout.h"

namespace reformer {
namespace {

constexpr double kMassStep = 0x1p-32;
// Held on the host at a time: keys, and scores of queries to all keys.
constexpr int64_t kBlockTokens = 1024;
constexpr int64_t kMostScores = int64_t{1} << 22;

/// Attention scores of a few queries of one sequence to all its keys: q·k̂, as in the kernels.
class ScoreTable {
 public:
  ScoreTable(Backend& backend, const View& query_key, const AttentionPattern& pattern,
             std::span<const int32_t> positions)
      : heads_(static_cast<size_t>(pattern.heads)),
        width_(static_cast<size_t>(pattern.head_dim)),
        scores_(positions.size() * heads_) {
    const int64_t length = query_key.shape()[0];
    std::vector<float> queries(positions.size() * heads_ * width_);
    for (size_t q = 0; q < positions.size(); ++q) {
      download_floats(backend, query_key.rows(positions[q], positions[q] + 1),
                      queries.data() + q * heads_ * width_);
    }
    for (std::vector<float>& scores : scores_) scores.reserve(static_cast<size_t>(length));
    std::vector<float> keys(static_cast<size_t>(kBlockTokens) * heads_ * width_);
    for (int64_t begin = 0; begin < length; begin += kBlockTokens) {
      const int64_t end = std::min(begin + kBlockTokens, length);
      download_floats(backend, query_key.rows(begin, end), keys.data());
      for (size_t key = 0; key < static_cast<size_t>(end - begin); ++key) {
        add_key(keys.data() + key * heads_ * width_, queries);
      }
    }
  }

  /// [T]
  const std::vector<float>& of(size_t query, int64_t head) const {
    return scores_[query * heads_ + static_cast<size_t>(head)];
  }

 private:
  void add_key(const float* key, const std::vector<float>& queries) {
    for (size_t head = 0; head < heads_; ++head) {
      const float* const k = key + head * width_;
      const float norm = std::sqrt(dot(k, k));
      const float inverse = norm < kShortestKey ? 0.0f : 1.0f / norm;
      for (size_t list = head; list < scores_.size(); list += heads_) {
        scores_[list].push_back(dot(queries.data() + list * width_, k) * inverse);
      }
    }
  }

  float dot(const float* a, const float* b) const {
    float sum = 0;
    for (size_t i = 0; i < width_; ++i) sum += a[i] * b[i];
    return sum;
  }

  size_t heads_;
  size_t width_;
  std::vector<std::vector<float>> scores_;  // [queries, H] of [T]
};

}  // namespace

/// The sorted tokens of one sequence and head, all rounds.
struct LshHealth::Head {
  const AttentionPattern& pattern;
  int64_t length;
  int64_t buckets;              // N
  const int32_t* order;         // [R, T]
  const int32_t* bucket_begin;  // [R, N + 2]
  SlotRing ring{pattern, length};

  /// The slots of the bucket that holds `slot` of a round, both within the round.
  SlotRange bucket_of(int64_t round, int64_t slot) const {
    const int32_t* const begin = bucket_begin + round * (buckets + 2);
    const int32_t* const next = std::upper_bound(begin, begin + buckets + 1, slot);
    return {*(next - 1), *next};
  }

  /// Both in unrolled slots.
  struct Seen {
    SlotRange keys;
    SlotRange bucket;
  };
  Seen seen_from(int64_t round, int64_t slot) const {
    SlotRange bucket = bucket_of(round, slot);
    bucket.begin += round * length;
    bucket.end += round * length;
    return {keys_seen_from(pattern, ring, round * length + slot, bucket), bucket};
  }
};

bool has_hashed_layer(const ModelSpec& spec) {
  return std::any_of(spec.layers.begin(), spec.layers.end(),
                     [](const LayerSpec& layer) { return is_hashed(layer.attention.kind); });
}

LshHealth::LshHealth(const ModelSpec& spec, int64_t queries, uint64_t seed)
    : spec_(spec), queries_(queries), seed_(seed) {
  for (const LayerSpec& layer : spec.layers) {
    first_.push_back(tallies_.size());
    if (!is_hashed(layer.attention.kind)) continue;
    tallies_.resize(tallies_.size() + static_cast<size_t>(layer.attention.heads));
  }
}

void LshHealth::observe(Backend& backend, const ObservedAttention& observed) {
  const TokenLayout& layout = observed.layout;
  const Slots& slots = observed.slots;
  const int layer = observed.layer;
  const int64_t first_head = observed.first_head;
  const int64_t heads = observed.heads;
  const LayerSpec& spec = spec_.layers[static_cast<size_t>(layer)];
  AttentionPattern pattern = spec.attention;
  pattern.heads = heads;
  if (!is_hashed(pattern.kind)) return;
  const int64_t buckets = bucket_count(spec.buckets);
  const int64_t lists = heads * pattern.rounds;
  std::vector<int32_t> order(static_cast<size_t>(lists * layout.length));
  std::vector<int32_t> bucket_begin(static_cast<size_t>(lists * (buckets + 2)));
  for (int64_t sample = 0; sample < layout.samples; ++sample) {
    backend.download(slots.order.rows(sample, sample + 1), order.data());
    backend.download(slots.bucket_begin.rows(sample, sample + 1), bucket_begin.data());
    const auto head_of = [&](int64_t h) {
      return Head{.pattern = pattern,
                  .length = layout.length,
                  .buckets = buckets,
                  .order = order.data() + h * pattern.rounds * layout.length,
                  .bucket_begin = bucket_begin.data() + h * pattern.rounds * (buckets + 2)};
    };
    for (int64_t h = 0; h < heads; ++h) count_buckets(head_of(h), tally(layer, first_head + h));
    const View query_key =
        observed.activations.query.rows(sample * layout.length, (sample + 1) * layout.length);
    const std::vector<int32_t> positions = sample_positions(layer, layout, sample);
    const size_t group =
        static_cast<size_t>(std::max<int64_t>(1, kMostScores / (heads * layout.length)));
    for (size_t first = 0; first < positions.size(); first += group) {
      const std::span<const int32_t> some =
          std::span(positions).subspan(first, std::min(group, positions.size() - first));
      const ScoreTable scores(backend, query_key, pattern, some);
      for (int64_t h = 0; h < heads; ++h) {
        Tally& sums = tally(layer, first_head + h);
        for (size_t q = 0; q < some.size(); ++q) {
          const double mass = found_mass(head_of(h), some[q], scores.of(q, h));
          sums.mass += std::llround(mass / kMassStep);
          ++sums.queries;
        }
      }
    }
  }
}

std::vector<HeadHealth> LshHealth::result(Communicator& communicator) const {
  if (tallies_.empty()) return {};
  std::vector<Tally> totals = tallies_;
  constexpr int64_t kSums = sizeof(Tally) / sizeof(int64_t);
  communicator.all_reduce_sum(
      View(totals.data(), DType::kInt64, {static_cast<int64_t>(totals.size()) * kSums}),
      "health of the hashes");
  std::vector<HeadHealth> health;
  const auto ratio = [](int64_t a, double b) { return b == 0 ? 0 : static_cast<double>(a) / b; };
  for (int layer = 0; layer < static_cast<int>(spec_.layers.size()); ++layer) {
    const LayerSpec& spec = spec_.layers[static_cast<size_t>(layer)];
    if (!is_hashed(spec.attention.kind)) continue;
    const auto buckets = static_cast<double>(bucket_count(spec.buckets));
    for (int64_t head = 0; head < spec.attention.heads; ++head) {
      const Tally& sums = totals[first_[static_cast<size_t>(layer)] + static_cast<size_t>(head)];
      const auto slots = static_cast<double>(sums.slots);
      health.push_back(
          {.layer = layer,
           .head = head,
           .found_mass = ratio(sums.mass, static_cast<double>(sums.queries)) * kMassStep,
           .window_overflow = ratio(sums.overflows, slots),
           .occupied_buckets = ratio(sums.occupied, static_cast<double>(sums.lists) * buckets),
           .largest_bucket = ratio(sums.largest, slots) * buckets});
    }
  }
  return health;
}

LshHealth::Tally& LshHealth::tally(int layer, int64_t head) {
  return tallies_[first_[static_cast<size_t>(layer)] + static_cast<size_t>(head)];
}

std::vector<int32_t> LshHealth::sample_positions(int layer, const TokenLayout& layout,
                                                 int64_t sample) const {
  std::vector<int32_t> positions;
  if (layout.length < 2) return positions;
  const PhiloxKey key = make_key(seed_, RandomUse::kProbe, 0, static_cast<uint32_t>(layer));
  const auto index = static_cast<uint64_t>(layout.first_sample + sample);
  for (int64_t i = 0; i < queries_; ++i) {
    const PhiloxBlock bits = philox(key, {static_cast<uint32_t>(i), static_cast<uint32_t>(index),
                                          static_cast<uint32_t>(index >> 32), 0});
    // The first token has no key to find.
    const uint64_t draw =
        bounded(uint64_t{bits[0]} << 32 | bits[1], static_cast<uint64_t>(layout.length - 1));
    positions.push_back(static_cast<int32_t>(draw) + 1);
  }
  return positions;
}

void LshHealth::count_buckets(const Head& head, Tally& tally) const {
  for (int64_t round = 0; round < head.pattern.rounds; ++round) {
    const int32_t* const begin = head.bucket_begin + round * (head.buckets + 2);
    int64_t largest = 0;
    for (int64_t b = 0; b < head.buckets; ++b) {
      const int64_t size = begin[b + 1] - begin[b];
      tally.occupied += size > 0;
      largest = std::max(largest, size);
    }
    tally.largest += largest;
    tally.slots += head.length;
    ++tally.lists;
    for (int64_t slot = 0; slot < head.length; ++slot) {
      const Head::Seen seen = head.seen_from(round, slot);
      tally.overflows += seen.keys.begin > seen.bucket.begin;
    }
  }
}

double LshHealth::found_mass(const Head& head, int32_t position,
                             const std::vector<float>& scores) const {
  std::vector<bool> seen(static_cast<size_t>(head.length));
  for (int64_t round = 0; round < head.pattern.rounds; ++round) {
    const int32_t* const order = head.order + round * head.length;
    const int64_t slot = std::find(order, order + head.length, position) - order;
    const SlotRange keys = head.seen_from(round, slot).keys;
    for (int64_t u = keys.begin; u < keys.end; ++u) {
      const int64_t token = head.ring.wrap(u);
      seen[static_cast<size_t>(head.order[token])] = true;
    }
  }
  const int64_t end = head.pattern.causal ? position : head.length;
  float largest = -HUGE_VALF;
  for (int64_t j = 0; j < end; ++j) {
    if (j != position) largest = std::max(largest, scores[static_cast<size_t>(j)]);
  }
  double found = 0;
  double total = 0;
  for (int64_t j = 0; j < end; ++j) {
    if (j == position) continue;
    const double weight = std::exp(static_cast<double>(scores[static_cast<size_t>(j)] - largest));
    total += weight;
    if (seen[static_cast<size_t>(j)]) found += weight;
  }
  return std::isfinite(found / total) ? found / total : 0;
}

const HeadHealth& least_found(const std::vector<HeadHealth>& health) {
  CHECK(!health.empty());
  return *std::min_element(
      health.begin(), health.end(),
      [](const HeadHealth& a, const HeadHealth& b) { return a.found_mass < b.found_mass; });
}

double mean_of(const std::vector<HeadHealth>& health, double HeadHealth::*value) {
  CHECK(!health.empty());
  double sum = 0;
  for (const HeadHealth& head : health) sum += head.*value;
  return sum / static_cast<double>(health.size());
}

std::string summarize(const std::vector<HeadHealth>& health) {
  const HeadHealth& least = least_found(health);
  return fmt::format("LSH finds {:.1f}% of the attention, least {:.1f}% in layer {}, head {}",
                     mean_of(health, &HeadHealth::found_mass) * 100, least.found_mass * 100,
                     least.layer, least.head);
}

std::string describe(const std::vector<HeadHealth>& health) {
  std::string text = "layer  head  found mass  window overflow  buckets in use  largest bucket";
  for (const HeadHealth& head : health) {
    text += fmt::format("\n{:5}  {:4}  {:9.1f}%  {:14.1f}%  {:13.1f}%  {:11.1f} x", head.layer,
                        head.head, head.found_mass * 100, head.window_overflow * 100,
                        head.occupied_buckets * 100, head.largest_bucket);
  }
  return text;
}

}  // namespace reformer
