// Lanes (lane_routes.h) one after the other: what they send each other is under way while others
// are worked on.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/core/arena.h"
#include "trainer/model/sequence/row_exchange.h"

namespace reformer {

/// Rows of one or more tensors on one way, and their memory.
struct Leg {
  std::vector<View> sent;
  std::vector<View> received;
  RowExchange exchange;
};

/// Legs of two lanes that follow each other: number `lane` uses lane % 2.
using Legs = std::array<Leg, 2>;

struct RowFormat {
  DType dtype = DType::kFloat32;
  int64_t width = 1;
};

/// With room for one tensor of each format.
Legs make_legs(Arena& arena, const std::vector<RowFormat>& formats, int64_t rows_sent,
               int64_t rows_received);

/// What is done for each of lanes 0, 1, …. All ranks do the same in the same order.
struct LaneSteps {
  std::function<void(size_t lane)> start;    // starts an exchange
  std::function<void(size_t lane)> compute;  // waits for it, computes, starts the way back
  std::function<void(size_t lane)> finish;   // waits for that; may be empty
};

/// Between start and compute, and between compute and finish, is one step of another lane.
/// REQUIRES: lanes >= 1.
void run_lanes(size_t lanes, const LaneSteps& steps);

}  // namespace reformer
