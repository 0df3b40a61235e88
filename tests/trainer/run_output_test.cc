// What a run leaves behind is rank 0's business alone.
#include "trainer/run_output.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"

namespace reformer {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryDirectory;

std::string content_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_everything(RunOutput& output) {
  output.say("a line");
  output.begin(0, "a configuration");
  StepMetrics metrics;
  metrics.step = 1;
  output.record(metrics);
  ProgressLine line;
  line.steps = 1;
  output.show(line, /*important=*/true);
}

TEST(RunOutputTest, RankZeroWritesAllOfIt) {
  const TemporaryDirectory directory;
  const RunDirectory run{directory.path() + "/run"};
  RunOutput output(run, 0, 2);
  write_everything(output);
  EXPECT_EQ(content_of(run.config()), "a configuration");
  EXPECT_NE(content_of(run.metrics()).find("\"step\":1"), std::string::npos);
  EXPECT_EQ(testing::names_in(run.events()).size(), 1u);
  EXPECT_EQ(content_of(run.log()).rfind("a line\n", 0), 0u);
  EXPECT_THROW(RunOutput(run, 0, 2), DataError) << "the directory is taken";
}

TEST(RunOutputTest, MetricsThatCannotBeWrittenAreSaidOnce) {
  const TemporaryDirectory directory;
  const RunDirectory run{directory.path() + "/run"};
  RunOutput output(run, 0, 2);
  output.begin(0, "a configuration");
  testing::write_file(run.events(), "in the way");
  StepMetrics metrics;
  for (metrics.step = 1; metrics.step <= 3; ++metrics.step) output.record(metrics);
  EXPECT_EQ(content_of(run.log()),
            "step 1: " + run.events() + " cannot be written, steps are missing from here on\n");
  EXPECT_NE(content_of(run.metrics()).find("\"step\":3"), std::string::npos);
}

TEST(RunOutputTest, OtherRanksLeaveNothing) {
  const TemporaryDirectory directory;
  const RunDirectory run{directory.path() + "/run"};
  RunOutput output(run, 1, 2);
  write_everything(output);
  EXPECT_FALSE(fs::exists(run.path));
}

}  // namespace
}  // namespace reformer
