#include "trainer/model/sequence/lane_pipeline.h"

namespace reformer {

Legs make_legs(Arena& arena, const std::vector<RowFormat>& formats, int64_t rows_sent,
               int64_t rows_received) {
  Legs legs;
  for (Leg& leg : legs) {
    for (const RowFormat& format : formats) {
      const auto allocate = [&](int64_t rows) {
        return arena.allocate(format.dtype, {rows, format.width}, MemoryUse::kExchange);
      };
      leg.sent.push_back(allocate(rows_sent));
      leg.received.push_back(allocate(rows_received));
    }
  }
  return legs;
}

void run_lanes(size_t lanes, const LaneSteps& steps) {
  const auto finish = [&](size_t lane) {
    if (steps.finish) steps.finish(lane);
  };
  steps.start(0);
  for (size_t lane = 0; lane < lanes; ++lane) {
    if (lane + 1 < lanes) steps.start(lane + 1);
    steps.compute(lane);
    if (lane > 0) finish(lane - 1);
  }
  finish(lanes - 1);
}

}  // namespace reformer
