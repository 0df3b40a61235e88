// The reduction of gradients hides behind the backward pass.
#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "comm/threads.h"
#include "tests/comm/delaying.h"
#include "tests/trainer/step_testing.h"

namespace reformer {
namespace {

using testing::DelayingCommunicator;
using testing::RankState;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// A deep model with most of its parameters in the layers.
ModelSpec deep_spec() {
  ModelSpec spec = testing::small_spec(std::vector<AttentionKind>(8, AttentionKind::kLocal));
  spec.width = 48;
  spec.ff_width = 192;
  spec.position_axes = {};
  return spec;
}

TEST(OverlapTest, MostOfASlowReductionHidesBehindTheBackwardPass) {
  config::Run run = testing::small_run(config::Optimizer::ADAMW, /*batch=*/16);
  run.mutable_data()->set_length(256);
  const ModelSpec spec = deep_spec();
  const std::unique_ptr<Dataset> dataset = make_dataset(run);
  run_as_threads(2, [&](Communicator& communicator) {
    RankState rank(run, spec, communicator);
    SkipGuard guard(run.training());
    int64_t step = 0;
    const auto run_step = [&](Communicator& over) {
      return train_step(run, *dataset, data_parallel(over), rank.state, guard, ++step);
    };
    run_step(communicator);  // warms up
    const auto begin = std::chrono::steady_clock::now();
    run_step(communicator);
    // All ranks slow the line down alike: for a third of a step, about half of a backward pass.
    const int64_t slowest_us = std::llround(1e6 * seconds_since(begin));
    const std::vector<int64_t> steps_us = communicator.gather(slowest_us, "step time");
    const double line_seconds =
        1e-6 * static_cast<double>(*std::max_element(steps_us.begin(), steps_us.end())) / 3;
    const double bytes = 8.0 * static_cast<double>(flat_elements(spec));

    DelayingCommunicator slow(communicator, line_seconds / bytes);
    double least_waited = line_seconds;  // of several steps: the machine may be busy otherwise
    for (int i = 0; i < 5; ++i) {
      communicator.barrier("begin together");
      const double before = slow.waited_seconds();
      const double waited_before = slow.seconds_waited();
      const StepResult result = run_step(slow);
      EXPECT_EQ(result.seconds_waited, slow.seconds_waited() - waited_before);
      least_waited = std::min(least_waited, slow.waited_seconds() - before);
    }
    EXPECT_NEAR(slow.busy_seconds(), 5 * line_seconds, 0.01 * line_seconds);
    EXPECT_LT(least_waited, 0.3 * line_seconds)
        << "at least 70% of " << line_seconds << " s must be hidden";
    if (communicator.rank() == 0) {
      fmt::print("hidden: {:.0f}% of {:.3f} s\n", 100 * (1 - least_waited / line_seconds),
                 line_seconds);
    }
  });
}

}  // namespace
}  // namespace reformer
