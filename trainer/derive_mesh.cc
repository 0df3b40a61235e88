#include "trainer/derive_mesh.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <numeric>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "comm/sequence_group.h"
#include "kernels/core/errors.h"
#include "trainer/config/derive.h"
#include "trainer/config/resolve.h"

namespace reformer {
namespace {

std::vector<int64_t> divisors_of(int64_t whole, const std::function<bool(int64_t)>& is_legal) {
  std::vector<int64_t> divisors;
  for (int64_t part = 1; part <= whole; ++part) {
    if (whole % part == 0 && is_legal(part)) divisors.push_back(part);
  }
  return divisors;
}

bool contains(const std::vector<int64_t>& numbers, int64_t number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

[[noreturn]] void refuse(const std::string& what, const std::vector<int64_t>& legal) {
  throw ConfigError(fmt::format("[parallel] {}, legal: {}", what, fmt::join(legal, ", ")));
}

/// "1 rank", "4 ranks".
std::string count_of(int64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

/// Which counts of ranks a run can have.
class LegalCounts {
 public:
  LegalCounts(const RunConfig& config, int64_t slot_block, int64_t ranks)
      : model_heads_(config.run.model().heads()),
        most_of_sequence_(most_ranks_of_sequence(config.run).count),
        most_of_buckets_(ranks) {
    for (const LayerSpec& layer : config.model.layers) {
      if (!is_hashed(layer.attention.kind)) continue;
      const int64_t unit = std::lcm(layer.attention.chunk_length, slot_block);
      const int64_t units = (config.run.data().length() + unit - 1) / unit;
      most_of_buckets_ = std::min(most_of_buckets_, units);
    }
    sequences_ = divisors_of(ranks, [this](int64_t count) {
      return count <= most_of_sequence_ && !heads(count).empty();
    });
  }

  /// Ranks that can share a sequence.
  const std::vector<int64_t>& sequences() const { return sequences_; }

  /// Of `sequence` ranks that share a sequence, those that can share its heads.
  std::vector<int64_t> heads(int64_t sequence) const {
    return divisors_of(sequence, [&](int64_t heads) {
      return heads <= model_heads_ && sequence / heads <= most_of_buckets_;
    });
  }

 private:
  int64_t model_heads_;
  int64_t most_of_sequence_;
  int64_t most_of_buckets_;
  std::vector<int64_t> sequences_;
};

int64_t ranks_of_sequence(const RunConfig& config, int64_t ranks,
                          const std::vector<int64_t>& legal) {
  const int64_t data = config.run.parallel().data();
  const int64_t sequence = config.run.parallel().sequence();
  const std::string all = count_of(ranks, "rank");
  if (sequence > 0 && !contains(legal, sequence)) {
    refuse(fmt::format("{} cannot share sequences by {} (parallel.sequence)", all, sequence),
           legal);
  }
  if (sequence > 0 && data > 0 && data * sequence != ranks) {
    throw ConfigError(
        fmt::format("[parallel] {} are not {} (parallel.data) of {} (parallel.sequence), legal: {}",
                    all, count_of(data, "group"), sequence, count_of(ranks / sequence, "group")));
  }
  if (sequence > 0) return sequence;

  const std::vector<int64_t> groups =
      divisors_of(ranks, [&](int64_t count) { return contains(legal, ranks / count); });
  if (data > 0) {
    if (!contains(groups, data)) {
      std::string what =
          fmt::format("{} cannot work in {} (parallel.data)", all, count_of(data, "group"));
      const RanksOfSequence most = most_ranks_of_sequence(config.run);
      if (ranks / data > most.count) {
        what += fmt::format(": at most {} can share a sequence, one for each {}", most.count,
                            most.part);
      }
      refuse(what, groups);
    }
    return ranks / data;
  }
  // No more groups than sequences, where that can be: the ranks that are left over help.
  const auto idle = std::upper_bound(groups.begin(), groups.end(), config.run.training().batch());
  return ranks / (idle == groups.begin() ? groups.front() : *std::prev(idle));
}

}  // namespace

Mesh derive_mesh(const RunConfig& config, const Backend& backend, int rank, int ranks) {
  const LegalCounts legal(config, backend.slot_block(), ranks);
  const int64_t sequence = ranks_of_sequence(config, ranks, legal.sequences());
  const std::vector<int64_t> heads = legal.heads(sequence);
  const int64_t asked = config.run.parallel().heads();
  if (asked > 0 && !contains(heads, asked)) {
    refuse(fmt::format("{} of a sequence cannot share heads by {} (parallel.heads)",
                       count_of(sequence, "rank"), asked),
           heads);
  }
  return make_mesh(rank, ranks, static_cast<int>(sequence),
                   static_cast<int>(asked > 0 ? asked : heads.back()));
}

std::vector<Slice> tokens_of_ranks(const RunConfig& config, const Mesh& mesh) {
  return share_tokens(config.run.data().length(), config.model.leaf_tokens, mesh.sequence_size);
}

std::string describe(const Mesh& mesh, int64_t length, int64_t leaf_tokens) {
  const int ranks = mesh.data_size * mesh.sequence_size;
  std::string text = fmt::format("{}: {} × data", count_of(ranks, "rank"), mesh.data_size);
  if (mesh.sequence_size == 1) return text;
  const std::vector<Slice> tokens = share_tokens(length, leaf_tokens, mesh.sequence_size);
  const auto [fewest, most] = std::minmax_element(
      tokens.begin(), tokens.end(),
      [](const Slice& a, const Slice& b) { return a.elements() < b.elements(); });
  text += fmt::format(", {} × sequence ({} × heads, {} × buckets), {}", mesh.sequence_size,
                      mesh.head_size, mesh.bucket_size(), fewest->elements());
  if (fewest->elements() != most->elements()) text += fmt::format(" to {}", most->elements());
  return text + " tokens each";
}

std::string describe_exchange(const Mesh& mesh, const LayerSpec& layer) {
  if (mesh.sequence_size == 1) return "";
  switch (layer.attention.kind) {
    case AttentionKind::kStrict:
    case AttentionKind::kChunked:
      if (mesh.bucket_size() == 1) break;
      if (mesh.head_size == 1) return fmt::format("{} ranks share its buckets", mesh.bucket_size());
      return fmt::format("{} ranks share its heads, {} its buckets", mesh.head_size,
                         mesh.bucket_size());
    case AttentionKind::kLocal:
      return "neighbours exchange the chunks at their borders";
    case AttentionKind::kFull:
      break;
  }
  return fmt::format("{} ranks share its heads", mesh.sequence_size);
}

std::vector<std::string> describe_layers(const Mesh& mesh, const ModelSpec& model) {
  std::vector<std::string> lines;
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const std::string exchange = describe_exchange(mesh, model.layers[i]);
    lines.push_back(fmt::format("layer {}: {}{}{}", i, describe_attention(model.layers[i]),
                                exchange.empty() ? "" : "; ", exchange));
  }
  return lines;
}

}  // namespace reformer
