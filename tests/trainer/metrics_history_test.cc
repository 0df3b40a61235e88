// What MetricsLog wrote is read again, to the last digit.
#include "trainer/metrics_history.h"

#include <cmath>
#include <limits>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"

namespace reformer {
namespace {

using testing::expect_contains;

class MetricsHistoryTest : public ::testing::Test {
 protected:
  std::string refusal(const std::string& text) {
    testing::write_file(path_, text);
    try {
      read_metrics(path_);
    } catch (const DataError& error) {
      return error.what();
    }
    return "accepted";
  }

  const testing::TemporaryDirectory directory_;
  const std::string path_ = directory_.path() + "/metrics.jsonl";
};

TEST_F(MetricsHistoryTest, EveryNumberComesBack) {
  const StepMetrics step{.step = 7,
                         .loss = 1.0 / 3,
                         .accuracy = 0.1,
                         .learning_rate = 1e-3,
                         .gradient_norm = std::numeric_limits<double>::infinity(),
                         .tokens_per_second = 1234.5,
                         .model_flops_per_second = 1e11 / 3,
                         .seconds_waited = 0.125,
                         .skipped = "a \"spike\""};
  const EvaluationMetrics evaluation{.step = 7,
                                     .loss = 2.0 / 3,
                                     .accuracy = 0.3,
                                     .tokens = 99,
                                     .lsh = {{.layer = 2,
                                              .head = 1,
                                              .found_mass = 0.1,
                                              .window_overflow = 0.2,
                                              .occupied_buckets = 0.3,
                                              .largest_bucket = 4.5}}};
  {
    MetricsLog log(path_, 0);
    log.add(step);
    log.add(evaluation);
    log.add(StepMetrics{.step = 8, .skipped = ""});
    log.add(EvaluationMetrics{.step = 8});
  }
  const MetricsHistory history = read_metrics(path_);
  ASSERT_EQ(history.steps.size(), 2u);
  const StepMetrics& read = history.steps[0];
  EXPECT_EQ(read.step, step.step);
  EXPECT_EQ(read.loss, step.loss);
  EXPECT_EQ(read.accuracy, step.accuracy);
  EXPECT_EQ(read.learning_rate, step.learning_rate);
  EXPECT_TRUE(std::isnan(read.gradient_norm)) << "null";
  EXPECT_EQ(read.tokens_per_second, step.tokens_per_second);
  EXPECT_EQ(read.model_flops_per_second, step.model_flops_per_second);
  EXPECT_EQ(read.seconds_waited, step.seconds_waited);
  EXPECT_EQ(read.skipped, step.skipped);
  EXPECT_EQ(history.steps[1].skipped, "");
  ASSERT_EQ(history.evaluations.size(), 2u);
  EXPECT_EQ(history.evaluations[0].lsh, evaluation.lsh);
  EXPECT_TRUE(history.evaluations[1].lsh.empty());
  EXPECT_EQ(history.evaluations[0].step, 7);
  EXPECT_EQ(history.evaluations[0].loss, evaluation.loss);
  EXPECT_EQ(history.evaluations[0].accuracy, evaluation.accuracy);
  EXPECT_EQ(history.evaluations[0].tokens, 99);
}

TEST_F(MetricsHistoryTest, ALineThatIsBeingWrittenIsLeftOut) {
  const std::string line = to_json(StepMetrics{.step = 1, .skipped = ""}) + "\n";
  for (size_t size = 0; size < line.size(); ++size) {
    testing::write_file(path_, line + line.substr(0, size));
    EXPECT_EQ(read_metrics(path_).steps.size(), 1u) << size;
  }
  testing::write_file(path_, "");
  EXPECT_TRUE(read_metrics(path_).steps.empty());
}

TEST_F(MetricsHistoryTest, OtherLinesAreRefusedByNumber) {
  const std::string line = to_json(StepMetrics{.step = 1, .skipped = ""}) + "\n";
  EXPECT_EQ(refusal(line + line), "accepted");
  for (const char* const bad : {"", "x", "{}", "[]", "7", "{\"step\":1}", "{\"step\":\"1\"}",
                                "{\"step\":1,\"validation_loss\":1}"}) {
    EXPECT_EQ(refusal(line + bad + "\n" + line), path_ + ":2: is no line of metrics") << bad;
  }
  expect_contains(refusal(line + "{\"step\":1,\"loss\":\"1\"}\n"), ":2: is no line of metrics");
}

TEST_F(MetricsHistoryTest, AMissingFileAndADirectoryAreNamed) {
  const auto error_of = [](const std::string& path) -> std::string {
    try {
      read_metrics(path);
    } catch (const DataError& error) {
      return error.what();
    }
    return "accepted";
  };
  expect_contains(error_of(path_), path_ + ": No such file");
  expect_contains(error_of(directory_.path()), directory_.path() + ": Is a directory");
}

}  // namespace
}  // namespace reformer
