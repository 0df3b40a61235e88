// A whole run on several ranks, here threads: what they must agree on, and what one of them finds.
#include "trainer/trainer.h"

#include <functional>

#include <gtest/gtest.h>

#include "comm/threads.h"
#include "kernels/core/errors.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/config_testing.h"

namespace reformer {
namespace {

constexpr const char* kConfig = R"(
data { source: DUPLICATION length: 64 symbols: 20 }
model {
  vocabulary: 32 width: 16 ff_width: 40 heads: 2 layers: 1
  attention_pattern: LOCAL local { chunk_length: 8 }
}
training { batch: 2 steps: 2 schedule { warmup: 2 } }
evaluation { sequences: 2 }
)";

/// What train() throws on each of two ranks, of which rank 1 differs; empty where it returns.
template <typename Expected>
std::vector<std::string> errors_on_two_ranks(
    const std::vector<std::string>& overrides_of_rank_1,
    const std::function<void(TrainOptions&)>& change_options_of_rank_1) {
  const testing::TemporaryDirectory directory;
  std::vector<std::string> errors(2);
  const auto body = [&](Communicator& communicator) {
    const bool differs = communicator.rank() == 1;
    const RunConfig config =
        testing::parse(kConfig, differs ? overrides_of_rank_1 : std::vector<std::string>{});
    const std::unique_ptr<Backend> backend = make_cpu_backend(1);
    TrainOptions options{.run_directory = directory.path()};
    if (differs) change_options_of_rank_1(options);
    try {
      train(config, options, *backend, communicator);
    } catch (const Expected& error) {
      errors[static_cast<size_t>(communicator.rank())] = error.what();
      throw;
    }
  };
  try {
    run_as_threads(2, body, std::chrono::seconds(20));
  } catch (const Error&) {
  }
  return errors;
}

void expect_on_both(const std::vector<std::string>& errors, const std::string& text) {
  for (const std::string& error : errors) testing::expect_contains(error, text);
}

TEST(TrainTest, AMachineWithoutTheMemoryEndsAllRanks) {
  expect_on_both(errors_on_two_ranks<DeviceError>(
                     {}, [](TrainOptions& options) { options.local_ranks = 1 << 30; }),
                 "for 1073741824 ranks on this machine");
}

TEST(TrainTest, ThreadsMayDifferAndTheLastStepMayNot) {
  EXPECT_EQ(errors_on_two_ranks<Error>({"execution.threads=3"}, [](TrainOptions&) {}),
            std::vector<std::string>(2));
  expect_on_both(
      errors_on_two_ranks<ConfigError>({}, [](TrainOptions& options) { options.stop_at = 1; }),
      "'stop at: 1'");
}

}  // namespace
}  // namespace reformer
