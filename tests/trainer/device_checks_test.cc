// The checks of a device pass where the device is the CPU once more, and fail on a wrong one.
#include "trainer/checks/device_checks.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/plan_backend.h"
#include "tests/trainer/forwarding_backend.h"
#include "trainer/checks/check_model.h"
#include "trainer/checks/op_inputs.h"

namespace reformer {
namespace {

constexpr OpScale kScale{
    .tokens = 150, .width = 32, .ff_width = 40, .head_dim = 16, .vocabulary = 30};

RunConfig short_config() {
  return check_config({"training.steps=2", "data.length=70"});
}

/// Two of the buckets are swapped, and one gradient is a little too large.
class WrongDevice final : public testing::ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  void bucket_sort(const BucketSortArgs& args) override {
    ForwardingBackend::bucket_sort(args);
    std::swap(args.order.data<int32_t>()[0], args.order.data<int32_t>()[1]);
  }
  void layer_norm_backward(const LayerNormBackwardArgs& args) override {
    ForwardingBackend::layer_norm_backward(args);
    float* const dx = args.dx.data<float>();
    *std::max_element(dx, dx + args.dx.elements()) *= 1.001f;
  }
};

/// Takes more of its workspace than its planner says.
class GreedyDevice final : public testing::ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  size_t workspace_peak() const override { return 4096; }
};

std::unique_ptr<Backend> wrong_device() {
  return std::make_unique<WrongDevice>(make_cpu_backend(1));
}

TEST(DeviceChecksTest, TheCpuEqualsItself) {
  const auto cpu = make_cpu_backend(2);
  const std::vector<OpComparison> comparisons = compare_ops(
      *cpu, [] { return make_cpu_backend(1); }, kScale);
  EXPECT_EQ(comparisons.size(), op_cases(kScale).size());
  for (const OpComparison& comparison : comparisons) {
    EXPECT_EQ(comparison.error, 0) << comparison.op;
  }
  EXPECT_TRUE(summary_of(comparisons).holds);
}

TEST(DeviceChecksTest, EveryOpIsCompared) {
  // What a training step, a decoded token and the other optimizer ask for is what there is.
  const auto cpu = make_cpu_backend(1);
  std::set<std::string> used;
  for (const char* optimizer : {"optimizer.kind=ADAMW", "optimizer.kind=ADAFACTOR"}) {
    for (const OpTime& count : count_ops(check_config({optimizer}), *cpu)) used.insert(count.op);
  }
  used.insert("attend_cached");
  // Ranks that share a sequence ask for these.
  used.insert({"attention_part", "attention_part_backward", "combine_rounds", "combine_gradients",
               "head_products", "gather_rows"});
  used.erase("fill_zero");
  used.erase("copy");
  std::set<std::string> compared;
  for (const OpCase& one : op_cases(kScale)) {
    compared.insert(one.name.substr(0, one.name.find(' ')));
  }
  // Parts of the cases of attention and attention_part.
  compared.insert(
      {"attention_backward", "attention_part_backward", "combine_rounds", "combine_gradients"});
  EXPECT_EQ(compared, used);
}

TEST(DeviceChecksTest, WrongOpsAreNamed) {
  const auto cpu = make_cpu_backend(1);
  const CheckResult result = summary_of(compare_ops(*cpu, wrong_device, kScale));
  EXPECT_FALSE(result.holds);
  EXPECT_NE(result.detail.find("bucket_sort in float32"), std::string::npos) << result.detail;
  EXPECT_NE(result.detail.find("layer_norm_backward in float32"), std::string::npos);
  EXPECT_EQ(result.detail.find("; embed"), std::string::npos);
}

TEST(DeviceChecksTest, TrainingIsCompared) {
  const auto cpu = make_cpu_backend(2);
  const auto same = make_cpu_backend(1);
  EXPECT_TRUE(check_training(short_config(), *cpu, *same, DType::kFloat32).holds);
  const RunConfig fast = check_config(
      {"training.steps=8", "data.length=70", "training.schedule.rate=0.05", "training.batch=2"});
  EXPECT_FALSE(check_training(fast, *cpu, *wrong_device(), DType::kFloat32).holds);
}

TEST(DeviceChecksTest, MemoryIsCompared) {
  EXPECT_TRUE(check_memory(short_config(), [] { return make_cpu_backend(1); }).holds);
  EXPECT_FALSE(check_memory(short_config(), [] {
                 return std::make_unique<GreedyDevice>(make_cpu_backend(1));
               }).holds);
}

TEST(DeviceChecksTest, TimesAndCountsAreOfTheSameOps) {
  const auto cpu = make_cpu_backend(2);
  std::vector<OpTime> times = time_ops(short_config(), *cpu);
  std::vector<OpTime> counts = count_ops(short_config(), *cpu);
  const auto by_name = [](const OpTime& a, const OpTime& b) { return a.op < b.op; };
  std::sort(times.begin(), times.end(), by_name);
  std::sort(counts.begin(), counts.end(), by_name);
  ASSERT_EQ(times.size(), counts.size());
  for (size_t i = 0; i < times.size(); ++i) {
    EXPECT_EQ(times[i].op, counts[i].op);
    EXPECT_EQ(times[i].calls, counts[i].calls) << times[i].op;
    EXPECT_EQ(times[i].cost.bytes, counts[i].cost.bytes) << times[i].op;
    EXPECT_GT(times[i].seconds, 0) << times[i].op;
    EXPECT_EQ(counts[i].seconds, 0);
  }
}

TEST(OpCostTest, CountsArithmeticAndTraffic) {
  const TokenLayout layout{.samples = 2, .length = 10};
  const Tensor x = floats({20, 3}), weight = floats({3, 5}), bias = floats({5}),
               y = floats({20, 5});
  const OpCost linear = cost_of(LinearArgs{.layout = layout,
                                           .x = x.view(),
                                           .weight = weight.view(),
                                           .bias = bias.view(),
                                           .y = y.view()});
  EXPECT_EQ(linear.flops, 2 * 20 * 3 * 5);
  EXPECT_EQ(linear.bytes, 4 * (20 * 3 + 3 * 5 + 5 + 20 * 5));

  const AttentionPattern pattern{.heads = 1, .head_dim = 3, .rounds = 2, .chunk_length = 4};
  const OpCost attention = cost_of(AttentionArgs{.layout = layout,
                                                 .pattern = pattern,
                                                 .dropout = {},
                                                 .query = x.view(),
                                                 .key = {},
                                                 .value = x.view(),
                                                 .order = {},
                                                 .bucket_begin = {},
                                                 .mask = {},
                                                 .out = x.view(),
                                                 .lse = {}});
  EXPECT_EQ(attention.flops, 2 * 2 * 20 * 3 * (2 * 4 / 2));
  EXPECT_EQ(attention.bytes, 4 * 60 * (2 * 2 + 1));

  // Of one of the two sequences, 4 of 10 slots.
  const Tensor row(DType::kInt32, {1, 2, 10});
  const OpCost part = cost_of(AttentionPartArgs{.pattern = pattern,
                                                .length = 10,
                                                .own = {3, 7},
                                                .dropout = {},
                                                .query = x.view(),
                                                .key = {},
                                                .value = x.view(),
                                                .position = {},
                                                .row = row.view(),
                                                .bucket_begin = {},
                                                .slot_in = {},
                                                .sums = {},
                                                .weights = {}});
  EXPECT_EQ(part.flops, attention.flops / 2 * 4 / 10);
  EXPECT_EQ(part.bytes, 4 * 20 * (2 * 3 + 1));
}

}  // namespace
}  // namespace reformer
