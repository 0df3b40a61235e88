// Every check passes here, and fails on a backend with a fault of the kind that it is for.
#include "trainer/checks/check.h"

#include <atomic>
#include <limits>

#include <gtest/gtest.h>

#include "comm/self.h"
#include "comm/threads.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/trainer/forwarding_backend.h"

namespace reformer {
namespace {

using testing::ForwardingBackend;

std::unique_ptr<Backend> good_backend() {
  return make_cpu_backend(1);
}

class WrongGradient final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  void layer_norm_backward(const LayerNormBackwardArgs& args) override {
    ForwardingBackend::layer_norm_backward(args);
    args.dgamma.data<int64_t>()[0] *= 2;
  }
};

/// The backward pass takes away what the forward pass did not add.
class WrongSubtraction final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  void residual(const ResidualArgs& args) override {
    ForwardingBackend::residual(args);
    if (args.subtract) args.stream.data<uint32_t>()[7] += 1;
  }
};

class WrongCache final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  void attend_cached(const AttendCachedArgs& args) override {
    ForwardingBackend::attend_cached(args);
    args.out.data<float>()[0] += 0.1f;
  }
};

/// One number in the middle is none.
class NotANumber final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  void attend_cached(const AttendCachedArgs& args) override {
    ForwardingBackend::attend_cached(args);
    if (++calls_ == 5) args.out.data<float>()[3] = std::numeric_limits<float>::quiet_NaN();
  }

 private:
  int calls_ = 0;
};

class WrongUpdate final : public ForwardingBackend {
 public:
  using ForwardingBackend::ForwardingBackend;
  void adamw(const AdamWArgs& args) override {
    AdamWArgs other = args;
    other.rate *= 1.0001f;
    ForwardingBackend::adamw(other);
  }
};

TEST(CheckTest, GradientsOfAWrongKernelAreFound) {
  EXPECT_TRUE(check_gradients(*good_backend()).holds);
  WrongGradient wrong(good_backend());
  const CheckResult result = check_gradients(wrong);
  EXPECT_FALSE(result.holds);
  EXPECT_NE(result.detail.find("norm.gamma"), std::string::npos) << result.detail;
}

TEST(CheckTest, StreamsThatAreNotRebuiltAreFound) {
  EXPECT_TRUE(check_reversibility(*good_backend()).holds);
  WrongSubtraction wrong(good_backend());
  EXPECT_FALSE(check_reversibility(wrong).holds);
}

TEST(CheckTest, AWrongDecoderIsFound) {
  EXPECT_TRUE(check_decoding(*good_backend()).holds);
  WrongCache wrong(good_backend());
  EXPECT_FALSE(check_decoding(wrong).holds);
  NotANumber none(good_backend());
  EXPECT_FALSE(check_decoding(none).holds);
}

TEST(CheckTest, ARankThatComputesOtherwiseIsFound) {
  SelfCommunicator alone;
  EXPECT_TRUE(check_ranks(alone, good_backend).holds);
  std::atomic<int> made = 0;
  // The first one is that of the single rank.
  const BackendMaker one_is_wrong = [&]() -> std::unique_ptr<Backend> {
    return made++ == 2 ? std::make_unique<WrongUpdate>(good_backend()) : good_backend();
  };
  EXPECT_FALSE(check_ranks(alone, one_is_wrong).holds);
}

TEST(CheckTest, RanksThatAreThereAreUsed) {
  std::atomic<int> good = 0;
  run_as_threads(2, [&](Communicator& communicator) {
    const CheckResult result = check_ranks(communicator, good_backend);
    if (result.holds && result.detail.starts_with("2 ranks,")) ++good;
  });
  EXPECT_EQ(good, 2);
}

}  // namespace
}  // namespace reformer
