// Which device a rank gets where there is no GPU.
#include "launch/device.h"

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "kernels/cuda/cuda_backend.h"

namespace reformer {
namespace {

class DeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda_status().devices > 0) GTEST_SKIP() << "this machine has a GPU";
  }

  /// What a run with these settings is refused with; empty if it is not.
  static std::string refusal(config::Execution::Device device, config::Execution::Compute compute) {
    RunConfig config;
    config.run.mutable_execution()->set_device(device);
    config.run.mutable_execution()->set_compute(compute);
    try {
      make_backend(config, 1);
    } catch (const DeviceError& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(DeviceTest, AutoIsTheCpuAndComputesInFloat32) {
  RunConfig config;
  const std::unique_ptr<Backend> backend = make_backend(config, 2);
  EXPECT_NE(backend->description().find("CPU, 2 threads"), std::string::npos);
  EXPECT_EQ(config.run.execution().compute(), config::Execution::FLOAT32);
  EXPECT_EQ(config.run.execution().device(), config::Execution::AUTO);
  EXPECT_EQ(config.model.compute_dtype, DType::kFloat32);
}

TEST_F(DeviceTest, CudaIsRefusedWithTheReason) {
  EXPECT_EQ(refusal(config::Execution::CUDA, config::Execution::BY_DEVICE),
            cuda_status().explanation);
}

TEST_F(DeviceTest, BFloat16IsRefusedOnTheCpu) {
  EXPECT_NE(refusal(config::Execution::AUTO, config::Execution::BFLOAT16)
                .find("execution.compute is BFLOAT16, which needs a CUDA device"),
            std::string::npos);
  EXPECT_EQ(refusal(config::Execution::AUTO, config::Execution::FLOAT32), "");
}

}  // namespace
}  // namespace reformer
