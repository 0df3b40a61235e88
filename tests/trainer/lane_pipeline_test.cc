// What is under way while a lane is worked on.
#include "trainer/model/sequence/lane_pipeline.h"

#include <string>

#include <gtest/gtest.h>

namespace reformer {
namespace {

std::vector<std::string> steps_of(size_t lanes) {
  std::vector<std::string> steps;
  const auto note = [&](const char* what) {
    return [&steps, what](size_t lane) { steps.push_back(what + std::to_string(lane)); };
  };
  run_lanes(lanes,
            {.start = note("start "), .compute = note("compute "), .finish = note("finish ")});
  return steps;
}

TEST(LanePipelineTest, TheNextLaneIsUnderWayAndSoIsTheWayBackOfTheLast) {
  EXPECT_EQ(steps_of(3),
            (std::vector<std::string>{"start 0", "start 1", "compute 0", "start 2", "compute 1",
                                      "finish 0", "compute 2", "finish 1", "finish 2"}));
  EXPECT_EQ(steps_of(1), (std::vector<std::string>{"start 0", "compute 0", "finish 0"}));
}

TEST(LanePipelineTest, LegsHaveMemoryOfTheirOwn) {
  Arena arena(nullptr, size_t{1} << 20);
  const Legs legs =
      make_legs(arena, {{.dtype = DType::kBFloat16, .width = 64}, {.width = 3}}, 100, 10);
  for (const Leg& leg : legs) {
    ASSERT_EQ(leg.sent.size(), 2u);
    EXPECT_EQ(leg.sent[0].dtype(), DType::kBFloat16);
    EXPECT_EQ(leg.sent[0].shape(), Shape({100, 64}));
    EXPECT_EQ(leg.received[1].shape(), Shape({10, 3}));
  }
  EXPECT_NE(legs[0].sent[0].raw(), legs[1].sent[0].raw());
  EXPECT_EQ(arena.usage_at_peak()[static_cast<size_t>(MemoryUse::kExchange)], arena.peak());
}

}  // namespace
}  // namespace reformer
