// The script of a figure: its panels, its curves and their points.
#include "trainer/plot/run_plot.h"

#include <limits>
#include <sstream>

#include <gtest/gtest.h>

#include "tests/trainer/checkpoint_testing.h"

namespace reformer {
namespace {

using testing::expect_contains;

MetricsHistory history_of(int64_t steps) {
  MetricsHistory history;
  for (int64_t step = 1; step <= steps; ++step) {
    StepMetrics metrics;
    metrics.step = step;
    metrics.loss = static_cast<double>(step);
    metrics.gradient_norm = 0.5;
    metrics.tokens_per_second = 1000;
    history.steps.push_back(metrics);
  }
  return history;
}

std::string script_of(const MetricsHistory& history) {
  return run_plot(history, "byte", {.title = "runs/demo", .path = "out"});
}

/// The lines of a data block, such as "$loss0".
std::vector<std::string> block(const std::string& script, const std::string& name) {
  std::istringstream lines(script);
  std::vector<std::string> found;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == "END") inside = false;
    if (inside) found.push_back(line);
    if (line == name + " << END") inside = true;
  }
  return found;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(RunPlotTest, AFewStepsAreDrawnAsTheyAre) {
  MetricsHistory history = history_of(3);
  history.evaluations = {{.step = 2, .loss = 1.5}, {.step = 3, .loss = 1.25}};
  const std::string script = script_of(history);
  EXPECT_EQ(block(script, "$loss0"), (std::vector<std::string>{"1 1", "2 2", "3 3"}));
  EXPECT_EQ(block(script, "$loss1"), (std::vector<std::string>{"2 1.5", "3 1.25"}));
  EXPECT_EQ(block(script, "$bits0"), (std::vector<std::string>{"2 2.16404256", "3 1.8033688"}));
  EXPECT_EQ(block(script, "$norm0").size(), 3u);
  EXPECT_EQ(block(script, "$speed0")[2], "3 1000");
  EXPECT_FALSE(contains(script, "mean of"));
  EXPECT_FALSE(contains(script, "nothing yet"));
  expect_contains(script, "set xrange [0:3]");
}

TEST(RunPlotTest, ManyStepsHaveARunningMeanAndNoMorePointsThanPixels) {
  const std::string script = script_of(history_of(8000));
  expect_contains(script, "title 'mean of 200 steps'");
  const std::vector<std::string> each = block(script, "$loss0");
  const std::vector<std::string> mean = block(script, "$loss1");
  ASSERT_EQ(each.size(), 1000u);
  ASSERT_EQ(mean.size(), 1000u);
  EXPECT_EQ(each[0], "4.5 4.5");  // steps 1 … 8 as one
  EXPECT_EQ(each[999], "7996.5 7996.5");
  EXPECT_EQ(mean[0], "4.5 2.75");       // of the 1 … 8 steps until then
  EXPECT_EQ(mean[999], "7996.5 7897");  // of the 200 last
}

TEST(RunPlotTest, WhatIsMissingIsSaid) {
  MetricsHistory history = history_of(2);
  history.steps[0].loss = std::numeric_limits<double>::quiet_NaN();
  for (StepMetrics& step : history.steps) {
    step.gradient_norm = std::numeric_limits<double>::infinity();
  }
  const std::string script = script_of(history);
  EXPECT_EQ(block(script, "$loss0"), (std::vector<std::string>{"2 2"}));
  EXPECT_TRUE(block(script, "$bits0").empty());
  EXPECT_TRUE(block(script, "$norm0").empty());
  size_t times = 0;
  for (size_t at = 0; (at = script.find("nothing yet", at)) != std::string::npos; ++at) ++times;
  EXPECT_EQ(times, 2u) << "no evaluation, no gradient norm";
}

TEST(RunPlotTest, AWideGradientNormIsDrawnByItsLogarithm) {
  MetricsHistory history = history_of(3);
  EXPECT_FALSE(contains(script_of(history), "\nset logscale y"));
  history.steps[1].gradient_norm = 100;
  EXPECT_TRUE(contains(script_of(history), "\nset logscale y"));
  history.steps[0].gradient_norm = 0;  // has none
  EXPECT_FALSE(contains(script_of(history), "\nset logscale y"));
}

TEST(RunPlotTest, WhatEvaluationsSawOfTheHashHasPanels) {
  MetricsHistory history = history_of(3);
  history.evaluations = {{.step = 2, .loss = 1.5}};
  EXPECT_TRUE(contains(script_of(history), "layout 2,2"));
  history.evaluations.push_back(
      {.step = 3,
       .loss = 1.25,
       .lsh = {{.layer = 0, .head = 0, .found_mass = 0.75, .window_overflow = 0.5},
               {.layer = 0, .head = 1, .found_mass = 0.25, .window_overflow = 0.25}}});
  const std::string script = script_of(history);
  EXPECT_TRUE(contains(script, "layout 3,2"));
  EXPECT_EQ(block(script, "$found0"), (std::vector<std::string>{"3 50"}));
  EXPECT_EQ(block(script, "$found1"), (std::vector<std::string>{"3 25"}));
  EXPECT_EQ(block(script, "$overflow0"), (std::vector<std::string>{"3 37.5"}));
}

TEST(RunPlotTest, NamesCannotBeTakenForCommands) {
  const MetricsHistory history = history_of(1);
  const std::string script =
      run_plot(history, "byte", {.title = "it's\n!rm `x`", .path = "/tmp/a'b", .format = "png"});
  expect_contains(script, "title 'it''s?!rm `x`'");
  expect_contains(script, "set output '/tmp/a''b'");
  expect_contains(script, "set terminal pngcairo");
  expect_contains(script_of(history), "set terminal svg");
}

}  // namespace
}  // namespace reformer
