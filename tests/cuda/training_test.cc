// Training on the device against the CPU backend: the gradients of a step with the same slots, and
// the losses of several steps.
#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "comm/self.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda/cuda_backend.h"
#include "tests/trainer/forwarding_backend.h"
#include "trainer/checks/check_model.h"
#include "trainer/checks/device_checks.h"
#include "trainer/checks/short_training.h"
#include "trainer/model/parameters.h"

namespace reformer {
namespace {

using testing::ForwardingBackend;

// Largest difference of a gradient, as a share of the largest element of its tensor.
constexpr double kFloat32Gradients = 2e-5;
constexpr double kBFloat16Gradients = 0.1;
constexpr double kFloat32Loss = 1e-5;
constexpr double kBFloat16Loss = 0.02;

RunConfig small_config(DType compute) {
  RunConfig config = check_config({"data.length=70", "model.width=64", "model.heads=2"});
  config.model.compute_dtype = compute;
  return config;
}

/// Buckets in the order of the calls: those of the CPU, for the device to sort by.
using Buckets = std::vector<Tensor>;

class RecordingBackend final : public ForwardingBackend {
 public:
  RecordingBackend(std::unique_ptr<Backend> real, Buckets& buckets)
      : ForwardingBackend(std::move(real)), buckets_(buckets) {}
  void lsh_hash(const LshHashArgs& args) override {
    ForwardingBackend::lsh_hash(args);
    buckets_.emplace_back(DType::kInt32, args.bucket_of.shape());
    download(args.bucket_of, buckets_.back().view().raw());
  }

 private:
  Buckets& buckets_;
};

class ReplayingBackend final : public ForwardingBackend {
 public:
  ReplayingBackend(std::unique_ptr<Backend> real, const Buckets& buckets)
      : ForwardingBackend(std::move(real)), buckets_(buckets) {}
  void lsh_hash(const LshHashArgs& args) override {
    ForwardingBackend::lsh_hash(args);
    upload(buckets_.at(next_++ % buckets_.size()).view().raw(), args.bucket_of);
  }

 private:
  const Buckets& buckets_;
  size_t next_ = 0;
};

struct Step {
  double loss;
  std::map<std::string, std::vector<double>> gradients;  // by parameter
};

Step first_step(const RunConfig& config, Backend& backend) {
  const CheckModel model(config, backend);
  const Tensor flat = model.gradients();
  Step step{.loss = model.loss(), .gradients = {}};
  for (const ParameterInfo& parameter : list_parameters(config.model)) {
    const View sums = parameter.in(flat.view());
    std::vector<double>& values = step.gradients[parameter.name];
    for (int64_t i = 0; i < sums.elements(); ++i) {
      values.push_back(static_cast<double>(sums.data<int64_t>()[i]) * 0x1p-44);
    }
  }
  return step;
}

void expect_same_first_step(DType compute, double loss_bound, double gradient_bound) {
  Buckets buckets;
  RecordingBackend cpu(make_cpu_backend(1), buckets);
  const Step expected = first_step(small_config(DType::kFloat32), cpu);
  ReplayingBackend device(make_cuda_backend(), buckets);
  const Step step = first_step(small_config(compute), device);
  EXPECT_NEAR(step.loss, expected.loss, loss_bound);
  double worst = 0;
  for (const auto& [name, values] : step.gradients) {
    const std::vector<double>& right = expected.gradients.at(name);
    double error = 0;
    double largest = 1e-12;
    for (size_t i = 0; i < values.size(); ++i) {
      error = std::max(error, std::abs(values[i] - right[i]));
      largest = std::max(largest, std::abs(right[i]));
    }
    EXPECT_LE(error / largest, gradient_bound) << name;
    worst = std::max(worst, error / largest);
  }
  printf("loss differs by %.2g, gradients by at most %.2g\n", std::abs(step.loss - expected.loss),
         worst);
}

TEST(CudaTrainingTest, FirstStepInFloat32) {
  expect_same_first_step(DType::kFloat32, kFloat32Loss, kFloat32Gradients);
}

TEST(CudaTrainingTest, FirstStepInBFloat16) {
  expect_same_first_step(DType::kBFloat16, kBFloat16Loss, kBFloat16Gradients);
}

void expect_same_losses(int64_t steps, DType compute) {
  const RunConfig config =
      check_config({"training.steps=" + std::to_string(steps), "training.schedule.warmup=1",
                    "data.length=70", "model.width=64", "model.heads=2"});
  const auto cpu = make_cpu_backend(1);
  const auto device = make_cuda_backend();
  const CheckResult result = check_training(config, *cpu, *device, compute);
  EXPECT_TRUE(result.holds) << result.detail;
  printf("%s\n", result.detail.c_str());
}

TEST(CudaTrainingTest, ThreeStepsInFloat32) {
  expect_same_losses(3, DType::kFloat32);
}

TEST(CudaTrainingTest, ThreeStepsInBFloat16) {
  expect_same_losses(3, DType::kBFloat16);
}

TEST(CudaTrainingTest, LongInFloat32) {
  expect_same_losses(20, DType::kFloat32);
}

TEST(CudaTrainingTest, LongInBFloat16) {
  expect_same_losses(20, DType::kBFloat16);
}

TEST(CudaTrainingTest, MemoryIsWhatWasPlanned) {
  const CheckResult result =
      check_memory(small_config(DType::kBFloat16), [] { return make_cuda_backend(); });
  EXPECT_TRUE(result.holds) << result.detail;
}

/// Micro-batches of one and of all sequences.
TEST(CudaTrainingTest, GroupingChangesNoBit) {
  SelfCommunicator alone;
  const auto device = make_cuda_backend();
  const auto parameters = [&](const char* micro_batch) {
    RunConfig config = check_config({"training.steps=2", "data.length=70", "training.batch=2",
                                     "model.width=64", "model.heads=2", micro_batch});
    config.model.compute_dtype = DType::kBFloat16;
    return train_shortly(config, data_parallel(alone), *device).parameters;
  };
  const Tensor one = parameters("training.micro_batch=1");
  const Tensor both = parameters("training.micro_batch=2");
  EXPECT_TRUE(
      std::equal(one.data<float>(), one.data<float>() + one.elements(), both.data<float>()));
}

}  // namespace
}  // namespace reformer
