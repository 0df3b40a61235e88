#include "tests/reference/attention.h"

#include <algorithm>
#include <cmath>

#include "tests/reference/lsh.h"

namespace reformer::reference {
namespace {

using Doubles = std::vector<double>;

/// A token in the slot that it has in one round.
struct Copy {
  int64_t round;
  int64_t position;
};

/// One sample and head.
class Head {
 public:
  Head(const AttentionArgs& args, const View& bucket_of, const AttentionInputs& inputs,
       int64_t sample, int64_t head)
      : args_(args),
        pattern_(args.pattern),
        inputs_(inputs),
        sample_(sample),
        head_(head),
        length_(args.layout.length) {
    if (!is_hashed(pattern_.kind)) return;
    const int64_t lists = sample * pattern_.heads + head;
    const int32_t* first = bucket_of.data<int32_t>() + lists * pattern_.rounds * length_;
    bucket_.assign(first, first + pattern_.rounds * length_);
    int32_t buckets = 0;
    for (const int32_t bucket : bucket_) buckets = std::max(buckets, bucket + 1);
    const std::vector<int32_t> order = bucket_sort(bucket_, length_, buckets).order;
    slot_.resize(order.size());
    for (size_t i = 0; i < order.size(); ++i) {
      const size_t round_begin = i / static_cast<size_t>(length_) * static_cast<size_t>(length_);
      slot_[round_begin + static_cast<size_t>(order[i])] = static_cast<int64_t>(i - round_begin);
    }
  }

  void attend(int64_t position, AttentionOutputs& outputs) const {
    const auto lse_index =
        static_cast<size_t>((sample_ * pattern_.heads + head_) * length_ + position);
    if (masked(position)) return;
    Doubles round_lse;
    std::vector<Doubles> round_out;
    for (int64_t round = 0; round < pattern_.rounds; ++round) {
      Doubles out(static_cast<size_t>(pattern_.head_dim), 0.0);
      round_lse.push_back(attend_in_round({round, position}, out));
      round_out.push_back(out);
    }
    const double lse = log_sum_exp(round_lse);
    outputs.lse[lse_index] = lse;
    for (size_t round = 0; round < round_out.size(); ++round) {
      for (int64_t d = 0; d < pattern_.head_dim; ++d) {
        outputs.out[element(position, d)] +=
            std::exp(round_lse[round] - lse) * round_out[round][static_cast<size_t>(d)];
      }
    }
  }

 private:
  static double log_sum_exp(const Doubles& values) {
    double largest = values.front();
    for (const double value : values) largest = std::max(largest, value);
    double sum = 0;
    for (const double value : values) sum += std::exp(value - largest);
    return largest + std::log(sum);
  }

  bool shared() const { return pattern_.kind != AttentionKind::kLocal; }

  /// Softmax over what the query sees in one round; returns its log-sum-exp.
  double attend_in_round(Copy query, Doubles& out) const {
    std::vector<Copy> keys;
    Doubles scores;
    for_copies([&](Copy key) {
      if (!sees(query, key)) return;
      keys.push_back(key);
      scores.push_back(score(query.position, key.position) -
                       std::log(times_seen(query.position, key.position)));
    });
    const double lse = log_sum_exp(scores);
    for (size_t k = 0; k < keys.size(); ++k) {
      const double weight = std::exp(scores[k] - lse) * dropout(query, keys[k].position);
      for (int64_t d = 0; d < pattern_.head_dim; ++d) {
        out[static_cast<size_t>(d)] += weight * inputs_.value[element(keys[k].position, d)];
      }
    }
    return lse;
  }

  template <typename Body>
  void for_copies(const Body& body) const {
    for (int64_t round = 0; round < pattern_.rounds; ++round) {
      for (int64_t position = 0; position < length_; ++position) body(Copy{round, position});
    }
  }

  /// Including itself.
  bool sees(Copy query, Copy key) const {
    if (masked(query.position) || masked(key.position)) return false;
    if (pattern_.causal && key.position > query.position) return false;
    const int64_t chunk = pattern_.chunk_length;
    switch (pattern_.kind) {
      case AttentionKind::kStrict: {
        const int64_t distance = slot(query) - slot(key);
        return same_bucket(query, key) && distance >= 0 && distance <= chunk;
      }
      case AttentionKind::kChunked: {
        const int64_t per_round = (length_ + chunk - 1) / chunk;
        const int64_t chunks = pattern_.rounds * per_round;
        const int64_t own = query.round * per_round + slot(query) / chunk;
        const int64_t other = key.round * per_round + slot(key) / chunk;
        const bool near = other == own || other == (own + chunks - 1) % chunks ||
                          (!pattern_.causal && other == (own + 1) % chunks);
        return near && (!pattern_.same_bucket_only || same_bucket(query, key));
      }
      case AttentionKind::kLocal: {
        const int64_t ahead = key.position / chunk - query.position / chunk;
        return ahead == 0 || ahead == -1 || (!pattern_.causal && ahead == 1);
      }
      case AttentionKind::kFull:
        return true;
    }
    return false;
  }

  double times_seen(int64_t query, int64_t key) const {
    if (!is_hashed(pattern_.kind) || !pattern_.correct_duplicates) return 1;
    double count = 0;
    for (int64_t round = 0; round < pattern_.rounds; ++round) {
      for (int64_t key_round = 0; key_round < pattern_.rounds; ++key_round) {
        count += sees({round, query}, {key_round, key}) ? 1 : 0;
      }
    }
    return count;
  }

  double score(int64_t query, int64_t key) const {
    if (shared() && query == key) return -1e5;
    const Doubles& keys = shared() ? inputs_.query : inputs_.key;
    double product = 0;
    double squares = 0;
    for (int64_t d = 0; d < pattern_.head_dim; ++d) {
      product += inputs_.query[element(query, d)] * keys[element(key, d)];
      squares += keys[element(key, d)] * keys[element(key, d)];
    }
    if (!shared()) return product / std::sqrt(static_cast<double>(pattern_.head_dim));
    return std::sqrt(squares) < 1e-12 ? 0 : product / std::sqrt(squares);
  }

  /// A token that sees nobody else gets its own value, so that pair is never dropped.
  double dropout(Copy query, int64_t key) const {
    if (args_.dropout.rate <= 0 || (shared() && query.position == key)) return 1;
    const auto round = static_cast<uint32_t>(query.round);
    const PhiloxBlock words = philox(
        args_.dropout.key, {static_cast<uint32_t>(query.position), static_cast<uint32_t>(key),
                            static_cast<uint32_t>(args_.layout.first_sample + sample_),
                            static_cast<uint32_t>(head_) | (round / 4) << 16});
    const auto rate = static_cast<double>(args_.dropout.rate);
    return static_cast<double>(words[round % 4]) >= rate * 0x1p32 ? 1 / (1 - rate) : 0;
  }

  bool masked(int64_t position) const {
    return args_.mask.defined() && args_.mask.data<uint8_t>()[sample_ * length_ + position] == 0;
  }

  size_t token(Copy copy) const {
    return static_cast<size_t>(copy.round * length_ + copy.position);
  }
  int64_t slot(Copy copy) const { return slot_[token(copy)]; }
  bool same_bucket(Copy a, Copy b) const {
    return a.round == b.round && bucket_[token(a)] == bucket_[token(b)];
  }

  size_t element(int64_t position, int64_t d) const {
    return static_cast<size_t>(
        ((sample_ * length_ + position) * pattern_.heads + head_) * pattern_.head_dim + d);
  }

  const AttentionArgs& args_;
  const AttentionPattern& pattern_;
  const AttentionInputs& inputs_;
  int64_t sample_;
  int64_t head_;
  int64_t length_;
  std::vector<int32_t> bucket_;  // [R, T]
  std::vector<int64_t> slot_;    // [R, T]
};

}  // namespace

AttentionOutputs attention(const AttentionArgs& args, const View& bucket_of,
                           const AttentionInputs& inputs) {
  AttentionOutputs outputs{
      .out = Doubles(inputs.value.size(), 0.0),
      .lse = Doubles(static_cast<size_t>(args.layout.rows() * args.pattern.heads), 0.0)};
  for (int64_t sample = 0; sample < args.layout.samples; ++sample) {
    for (int64_t head = 0; head < args.pattern.heads; ++head) {
      const Head one(args, bucket_of, inputs, sample, head);
      for (int64_t position = 0; position < args.layout.length; ++position) {
        one.attend(position, outputs);
      }
    }
  }
  return outputs;
}

Doubles attend_cached(const AttendCachedArgs& args) {
  const AttentionPattern& pattern = args.pattern;
  const int64_t queries = args.query.shape()[0];
  const int64_t inner = pattern.heads * pattern.head_dim;
  const bool local = pattern.kind == AttentionKind::kLocal;
  const auto at = [](const View& view, int64_t i) {
    return static_cast<double>(view.data<float>()[i]);
  };
  Doubles out(static_cast<size_t>(queries * inner));
  for (int64_t list = 0; list < queries * pattern.heads; ++list) {
    const int64_t first = list * pattern.head_dim;  // of the query and head in [B, H·D]
    const int64_t sequence = args.sequence.data<int32_t>()[list / pattern.heads];
    const int64_t count = args.seen_count.data<int32_t>()[list];
    Doubles scores;
    std::vector<int64_t> rows;
    for (int64_t k = 0; k < count; ++k) {
      const int64_t row = args.seen.data<int32_t>()[list * args.seen.shape()[2] + k];
      rows.push_back((sequence * args.keys.shape()[1] + row) * inner +
                     list % pattern.heads * pattern.head_dim);
      double product = 0;
      double squares = 0;
      for (int64_t d = 0; d < pattern.head_dim; ++d) {
        product += at(args.query, first + d) * at(args.keys, rows.back() + d);
        squares += at(args.keys, rows.back() + d) * at(args.keys, rows.back() + d);
      }
      const double divisor =
          local ? std::sqrt(static_cast<double>(pattern.head_dim)) : std::sqrt(squares);
      scores.push_back(!local && divisor < 1e-12 ? 0 : product / divisor);
    }
    const double largest = count == 0 ? 0 : *std::max_element(scores.begin(), scores.end());
    double total = 0;
    for (const double score : scores) total += std::exp(score - largest);
    for (int64_t d = 0; d < pattern.head_dim; ++d) {
      double& sum = out[static_cast<size_t>(first + d)];
      if (count == 0) sum = at(args.value, first + d);
      for (size_t k = 0; k < scores.size(); ++k) {
        sum += std::exp(scores[k] - largest) / total * at(args.values, rows[k] + d);
      }
    }
  }
  return out;
}

}  // namespace reformer::reference
