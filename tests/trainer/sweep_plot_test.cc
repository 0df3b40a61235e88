#include "trainer/plot/sweep_plot.h"

#include <numbers>

#include <gtest/gtest.h>

namespace reformer {
namespace {

constexpr double kBit = std::numbers::ln2;

TEST(SweepPlotTest, RoundsAreACurveAndAllKeysALine) {
  const std::vector<SweepPoint> points{
      {.rounds = 1, .results = {{.loss = 3 * kBit}, {.loss = 5 * kBit}}},
      {.rounds = 8, .results = {{.loss = 2 * kBit}}},
      {.rounds = kAllKeys, .results = {{.loss = 1.5 * kBit}}}};
  const std::string script = sweep_plot(points, "byte", {.title = "runs/demo", .path = "out"});
  EXPECT_NE(script.find("$rounds << END\n1 4 1.41421356\n8 2 0\nEND\n"), std::string::npos)
      << script;
  EXPECT_NE(script.find("plot $rounds with yerrorlines"), std::string::npos);
  EXPECT_NE(script.find(", 1.5 with lines"), std::string::npos);
  EXPECT_NE(script.find("held-out bits/byte"), std::string::npos);
}

TEST(SweepPlotTest, AllKeysAlone) {
  const std::string script = sweep_plot({{.rounds = kAllKeys, .results = {{.loss = kBit}}}},
                                        "token", {.title = "t", .path = "out"});
  EXPECT_EQ(script.find("$rounds"), std::string::npos);
  EXPECT_NE(script.find("plot 1 with lines"), std::string::npos);
}

}  // namespace
}  // namespace reformer
