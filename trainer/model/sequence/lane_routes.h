// What the ranks that share slots tell each other before tokens travel. A *lane* is one sample and
// head of a layer. All here is on the host; collective where a communicator is taken.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "trainer/model/sequence/bucket_routes.h"

namespace reformer {

/// L lists, one for each lane and round; t tokens here, N buckets.
struct NumberedSlots {
  std::vector<int32_t> slots;         // [L, t]
  std::vector<int32_t> bucket_begin;  // [L, N + 2], of all tokens
};

/// Slots from the buckets [L, t] of the tokens here; those of rank after rank follow each other.
NumberedSlots number_slots(Communicator& ranks, int64_t tokens, int64_t num_buckets,
                           std::vector<int32_t> bucket_of, const std::string& tag);

/// Slots for a plan: positions [begin, end) of a sequence evenly spread, in every list otherwise.
std::vector<int32_t> made_up_slots(const SlotWindows& windows, Slice positions, int64_t lanes);

struct LaneRoute {
  Departures leaving;
  std::vector<int64_t> tokens_from;  // how many arrive from each rank
  std::vector<int64_t> results_to;   // how many slots of tokens from each rank are own ones
};

/// The routes of all lanes; slots [lanes, R, t]. What arrives fits the windows; in a plan, where
/// ranks are taken to send what they are sent, it is made to fit.
std::vector<LaneRoute> make_routes(Communicator& ranks, const SlotWindows& windows, int64_t tokens,
                                   std::span<const int32_t> slots, bool planned,
                                   const std::string& tag);

}  // namespace reformer
