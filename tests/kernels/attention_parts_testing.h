// Attention in parts, as ranks run it: each part has copies of the tokens that its slots need, in
// any order, and the results of all parts are combined.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/lsh_layout.h"
#include "tests/kernels/attention_testing.h"

namespace reformer::testing {

/// Some slots of every round of one sample.
class AttentionPart {
 public:
  /// Copies the tokens that the slots need, and some others that nobody may read.
  AttentionPart(const AttentionCase& config, const AttentionProblem& problem, int64_t sample,
                SlotRange own, Random& random)
      : config_(config),
        problem_(problem),
        pattern_(config.pattern),
        ring_(config.pattern, config.length),
        sample_(sample),
        own_(own) {
    if (own.empty()) return;
    choose_tokens(random);
    query_ = copy_rows(problem.query);
    if (problem.key.view().defined()) key_ = copy_rows(problem.key);
    value_ = copy_rows(problem.value);
    dout_ = copy_rows(problem.dout);
    copy_tables();
  }

  int64_t results() const { return pattern_.heads * pattern_.rounds * own_.size(); }

  /// sums and weights are those of all parts; this one's begin at `first`.
  AttentionPartArgs args(const View& sums, const View& weights, int64_t first) const {
    AttentionPartArgs args{.pattern = pattern_,
                           .length = config_.length,
                           .own = own_,
                           .sample = config_.first_sample + sample_,
                           .first_head = config_.first_head,
                           .dropout = problem_.args().dropout,
                           .query = query_.view(),
                           .key = key_.view(),
                           .value = value_.view(),
                           .position = position_.view(),
                           .row = row_.view(),
                           .bucket_begin = bucket_begin_,
                           .slot_in = slot_in_.view(),
                           .sums = {},
                           .weights = {}};
    if (!own_.empty() && sums.defined()) {
      args.sums = results_in(sums, first);
      args.weights = results_in(weights, first);
    }
    return args;
  }

  /// lse is [B, H, T], delta [B·T, H]; both are copied like the other rows.
  AttentionPartBackwardArgs backward_args(const Tensor& lse, const Tensor& delta,
                                          const View& dquery, const View& dkey, const View& dvalue,
                                          int64_t first) {
    AttentionPartBackwardArgs args{.forward = this->args({}, {}, first),
                                   .dout = dout_.view(),
                                   .lse = {},
                                   .delta = {},
                                   .dquery = {},
                                   .dkey = {},
                                   .dvalue = {}};
    if (own_.empty()) return args;
    delta_ = copy_rows(delta);
    lse_ = copy_rows(delta);  // the shape
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (!needed_[i]) continue;
      for (int64_t head = 0; head < pattern_.heads; ++head) {
        lse_.data<float>()[static_cast<int64_t>(i) * pattern_.heads + head] =
            lse.data<float>()[(sample_ * pattern_.heads + head) * config_.length + tokens_[i]];
      }
    }
    args.lse = lse_.view();
    args.delta = delta_.view();
    args.dquery = results_in(dquery, first);
    if (key_.view().defined()) args.dkey = results_in(dkey, first);
    args.dvalue = results_in(dvalue, first);
    return args;
  }

  /// Enters the results of own slots in `row`, [B, H, R, T].
  void list_results(int64_t first, const Tensor& row) const {
    for (int64_t list = 0; list < pattern_.heads * pattern_.rounds; ++list) {
      int32_t* const of_token =
          row.data<int32_t>() +
          (sample_ * pattern_.heads * pattern_.rounds + list) * config_.length;
      for (int64_t slot = own_.begin; slot < own_.end; ++slot) {
        of_token[token_in(list, slot)] =
            static_cast<int32_t>(first + list * own_.size() + slot - own_.begin);
      }
    }
  }

 private:
  /// `list` is a head and a round; the slot counts within the round.
  int32_t token_in(int64_t list, int64_t slot) const {
    if (!is_hashed(pattern_.kind)) return static_cast<int32_t>(slot);
    const int64_t lists = pattern_.heads * pattern_.rounds;
    return problem_.order.data<int32_t>()[(sample_ * lists + list) * config_.length + slot];
  }

  void choose_tokens(Random& random) {
    const SlotRange around = slots_around(pattern_, ring_, own_);
    row_ = Tensor(DType::kInt32, {pattern_.heads, pattern_.rounds, around.size()});
    int32_t* const row = row_.data<int32_t>();
    std::vector<bool> is_needed(static_cast<size_t>(config_.length));
    for (int64_t i = 0; i < row_.elements(); ++i) {
      const int64_t list = i / around.size();
      const int64_t round = list % pattern_.rounds;
      const int64_t slot = ring_.wrap(round * config_.length + around.begin + i % around.size());
      row[i] = token_in(list - round + slot / config_.length, slot % config_.length);
      is_needed[static_cast<size_t>(row[i])] = true;
    }
    std::vector<int32_t> order(static_cast<size_t>(config_.length));
    std::iota(order.begin(), order.end(), 0);
    random.shuffle(order);
    std::vector<int32_t> row_of(order.size());
    for (const int32_t token : order) {
      const bool needed = is_needed[static_cast<size_t>(token)];
      if (!needed && random.chance(0.5)) continue;
      row_of[static_cast<size_t>(token)] = static_cast<int32_t>(tokens_.size());
      tokens_.push_back(token);
      needed_.push_back(needed);
    }
    std::transform(row, row + row_.elements(), row,
                   [&](int32_t token) { return row_of[static_cast<size_t>(token)]; });
  }

  /// Of [B·T, width]; what nobody may read is NaN.
  Tensor copy_rows(const Tensor& from) const {
    const int64_t width = from.shape()[1];
    const auto rows = static_cast<int64_t>(tokens_.size());
    Tensor copy(DType::kFloat32, {rows, width});
    for (int64_t i = 0; i < rows; ++i) {
      const auto at = static_cast<size_t>(i);
      float* const to = copy.data<float>() + i * width;
      if (needed_[at]) {
        const int64_t row = sample_ * config_.length + tokens_[at];
        std::copy_n(from.data<float>() + row * width, width, to);
      } else {
        std::fill_n(to, width, std::numeric_limits<float>::quiet_NaN());
      }
    }
    return copy;
  }

  void copy_tables() {
    const auto rows = static_cast<int64_t>(tokens_.size());
    position_ = Tensor(DType::kInt32, {rows});
    for (size_t i = 0; i < tokens_.size(); ++i) {
      const bool masked = problem_.is_masked(sample_ * config_.length + tokens_[i]);
      position_.data<int32_t>()[i] = masked ? ~tokens_[i] : tokens_[i];
    }
    if (!is_hashed(pattern_.kind)) return;
    const View begin = problem_.bucket_begin.view().rows(sample_, sample_ + 1);
    bucket_begin_ = begin.reshape({pattern_.heads, pattern_.rounds, begin.shape()[3]});
    if (!corrects_duplicates(pattern_)) return;
    slot_in_ = Tensor(DType::kInt32, {pattern_.heads, rows, pattern_.rounds});
    for (int64_t list = 0; list < pattern_.heads * pattern_.rounds; ++list) {
      std::vector<int32_t> slot_of(static_cast<size_t>(config_.length));
      for (int32_t slot = 0; slot < config_.length; ++slot) {
        slot_of[static_cast<size_t>(token_in(list, slot))] = slot;
      }
      const int64_t head = list / pattern_.rounds;
      for (int64_t i = 0; i < rows; ++i) {
        slot_in_.data<int32_t>()[(head * rows + i) * pattern_.rounds + list % pattern_.rounds] =
            slot_of[static_cast<size_t>(tokens_[static_cast<size_t>(i)])];
      }
    }
  }

  View results_in(const View& all, int64_t first) const {
    return all.rows(first, first + results())
        .reshape({pattern_.heads, pattern_.rounds, own_.size(), all.shape()[1]});
  }

  const AttentionCase& config_;
  const AttentionProblem& problem_;
  const AttentionPattern& pattern_;
  SlotRing ring_;
  int64_t sample_;
  SlotRange own_;
  std::vector<int32_t> tokens_;  // of the rows
  std::vector<bool> needed_;     // likewise
  Tensor query_, key_, value_, dout_, lse_, delta_;
  Tensor position_, row_, slot_in_;
  View bucket_begin_;
};

/// Both passes in parts that begin at `cuts`, which ascend from 0; the results are left in
/// `problem`.
inline void run_in_parts(const AttentionCase& config, AttentionProblem& problem,
                         const std::vector<int64_t>& cuts, int threads) {
  const auto backend = make_backend_under_test(threads);
  const AttentionPattern& pattern = config.pattern;
  Random random(5);
  std::vector<AttentionPart> parts;
  for (int64_t sample = 0; sample < config.samples; ++sample) {
    for (size_t i = 0; i < cuts.size(); ++i) {
      const int64_t end = i + 1 < cuts.size() ? cuts[i + 1] : config.length;
      parts.emplace_back(config, problem, sample, SlotRange{cuts[i], end}, random);
    }
  }
  const Shape lists{config.samples, pattern.heads, pattern.rounds, config.length};
  const Tensor row(DType::kInt32, lists);
  const auto make_results = [&](int64_t width) {
    Tensor results(DType::kFloat32, {lists.elements(), width});
    std::fill_n(results.data<float>(), results.elements(), 1e30f);
    return results;
  };
  const auto for_parts = [&](const auto& body) {
    int64_t first = 0;
    for (AttentionPart& part : parts) {
      body(part, first);
      first += part.results();
    }
  };

  const AttentionArgs whole = problem.args();
  const Tensor sums = make_results(pattern.head_dim), weights = make_results(kRoundWeights);
  for_parts([&](AttentionPart& part, int64_t first) {
    part.list_results(first, row);
    backend->attention_part(part.args(sums.view(), weights.view(), first));
  });
  backend->combine_rounds({.layout = whole.layout,
                           .pattern = pattern,
                           .dropout = whole.dropout,
                           .row = row.view(),
                           .sums = sums.view(),
                           .weights = weights.view(),
                           .value = whole.value,
                           .mask = whole.mask,
                           .out = whole.out,
                           .lse = whole.lse});

  const AttentionBackwardArgs backward = problem.backward_args();
  const Tensor delta(DType::kFloat32, {config.samples * config.length, pattern.heads});
  backend->head_products(
      {.heads = pattern.heads, .a = backward.dout, .b = whole.out, .products = delta.view()});
  const Tensor dquery = make_results(pattern.head_dim), dkey = make_results(pattern.head_dim),
               dvalue = make_results(pattern.head_dim);
  for_parts([&](AttentionPart& part, int64_t first) {
    backend->attention_part_backward(
        part.backward_args(problem.lse, delta, dquery.view(), dkey.view(), dvalue.view(), first));
  });
  backend->combine_gradients({.layout = whole.layout,
                              .pattern = pattern,
                              .row = row.view(),
                              .query_parts = dquery.view(),
                              .key_parts = whole.key.defined() ? dkey.view() : View(),
                              .value_parts = dvalue.view(),
                              .dout = backward.dout,
                              .lse = whole.lse,
                              .dquery = backward.dquery,
                              .dkey = backward.dkey,
                              .dvalue = backward.dvalue});
}

}  // namespace reformer::testing
