// One attention problem for the tests: random inputs, and both passes of the CPU ops on them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/kernels/backend_under_test.h"
#include "tests/kernels/op_testing.h"
#include "tests/reference/attention.h"
#include "tests/reference/lsh.h"

namespace reformer::testing {

struct AttentionCase {
  std::string name;
  AttentionPattern pattern;
  int64_t samples = 1;
  int64_t length = 1;
  int64_t first_sample = 0;
  int64_t first_head = 0;
  int64_t num_buckets = 4;    // random buckets; length or more: every token in its own
  float query_deviation = 1;  // ‖q‖ is about this times √D
  double masked = 0;          // share of masked tokens; with any, position 0 of sample 0 is one
  double zero = 0;            // share of tokens whose query, key and value are 0
  float dropout = 0;
  bool each_alone = false;  // every token is the only one of its bucket
};

/// "[STRICT] T=…", for messages.
inline std::ostream& operator<<(std::ostream& out, const AttentionCase& c) {
  return out << c.name;
}

class AttentionProblem {
 public:
  explicit AttentionProblem(const AttentionCase& config, uint64_t seed = 1) : config_(config) {
    ActivationRandom random(seed);
    const AttentionPattern& pattern = config.pattern;
    const Shape rows{config.samples * config.length, pattern.heads * pattern.head_dim};
    query = random.normal(rows, config.query_deviation);
    if (!has_shared_query_key(pattern.kind)) key = random.normal(rows);
    value = random.normal(rows);
    dout = random.normal(rows);
    mask = Tensor(DType::kUint8, {config.samples, config.length});
    for (int64_t i = 0; i < mask.elements(); ++i) {
      mask.data<uint8_t>()[i] =
          config.masked > 0 && (i == 0 || random.chance(config.masked)) ? 0 : 1;
      if (random.chance(config.zero)) zero_row(i);
    }
    choose_buckets(random);
    out = Tensor(DType::kFloat32, rows);
    lse = Tensor(DType::kFloat32, {config.samples, pattern.heads, config.length});
    dquery = Tensor(DType::kFloat32, rows);
    dkey = Tensor(DType::kFloat32, rows);
    dvalue = Tensor(DType::kFloat32, rows);
    // Whatever an op fails to write shows.
    for (const Tensor* tensor : {&out, &lse, &dquery, &dkey, &dvalue}) {
      std::fill_n(tensor->data<float>(), tensor->elements(), 1e30f);
    }
  }

  AttentionArgs args() const {
    return {.layout = {.samples = config_.samples,
                       .length = config_.length,
                       .first_sample = config_.first_sample},
            .pattern = config_.pattern,
            .first_head = config_.first_head,
            .dropout = {.rate = config_.dropout, .key = {.lo = 12, .hi = 345}},
            .query = query.view(),
            .key = key.view(),
            .value = value.view(),
            .order = order.view(),
            .bucket_begin = bucket_begin.view(),
            .mask = config_.masked > 0 ? mask.view() : View(),
            .out = out.view(),
            .lse = lse.view()};
  }

  AttentionBackwardArgs backward_args() const {
    return {.forward = args(),
            .dout = dout.view(),
            .dquery = dquery.view(),
            .dkey = key.view().defined() ? dkey.view() : View(),
            .dvalue = dvalue.view()};
  }

  /// Forward and backward with this many threads.
  void run(int threads) {
    const auto backend = make_backend_under_test(threads);
    backend->attention(args());
    backend->attention_backward(backward_args());
  }

  /// Sorts bucket_of by the naive sort, after a change of it.
  void sort() {
    const Shape& shape = bucket_of.shape();
    const int32_t* data = bucket_of.data<int32_t>();
    const reference::SortedBuckets sorted =
        reference::bucket_sort({data, data + bucket_of.elements()}, config_.length, num_buckets_);
    order = Tensor(DType::kInt32, shape);
    bucket_begin = Tensor(DType::kInt32, {shape[0], shape[1], shape[2], num_buckets_ + 2});
    std::copy(sorted.order.begin(), sorted.order.end(), order.data<int32_t>());
    std::copy(sorted.bucket_begin.begin(), sorted.bucket_begin.end(), bucket_begin.data<int32_t>());
  }

  bool is_masked(int64_t row) const { return config_.masked > 0 && mask.data<uint8_t>()[row] == 0; }
  int64_t num_buckets() const { return num_buckets_; }

  Tensor query, key, value, dout, mask;
  Tensor bucket_of, order, bucket_begin;
  Tensor out, lse, dquery, dkey, dvalue;

 private:
  void zero_row(int64_t row) {
    for (const Tensor* tensor : {&query, &key, &value}) {
      if (!tensor->view().defined()) continue;
      const int64_t width = tensor->shape()[1];
      std::fill_n(tensor->data<float>() + row * width, width, 0.0f);
    }
  }

  void choose_buckets(Random& random) {
    if (!is_hashed(config_.pattern.kind)) return;
    num_buckets_ = config_.each_alone ? config_.length : config_.num_buckets;
    const Shape shape{config_.samples, config_.pattern.heads, config_.pattern.rounds,
                      config_.length};
    bucket_of = random.integers(shape, 0, static_cast<int32_t>(num_buckets_ - 1));
    const int64_t lists = config_.pattern.heads * config_.pattern.rounds;
    for (int64_t i = 0; i < bucket_of.elements(); ++i) {
      const int64_t position = i % config_.length;
      const int64_t row = i / config_.length / lists * config_.length + position;
      int32_t& bucket = bucket_of.data<int32_t>()[i];
      if (config_.each_alone) bucket = static_cast<int32_t>(config_.length - 1 - position);
      if (is_masked(row)) bucket = static_cast<int32_t>(num_buckets_);
    }
    sort();
  }

  AttentionCase config_;
  int64_t num_buckets_ = 1;
};

/// The results of both passes, by name.
inline std::vector<std::pair<std::string, Tensor AttentionProblem::*>> attention_results() {
  return {{"out", &AttentionProblem::out},
          {"lse", &AttentionProblem::lse},
          {"dquery", &AttentionProblem::dquery},
          {"dkey", &AttentionProblem::dkey},
          {"dvalue", &AttentionProblem::dvalue}};
}

}  // namespace reformer::testing
