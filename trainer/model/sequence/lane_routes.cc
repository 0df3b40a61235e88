#include "trainer/model/sequence/lane_routes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace reformer {
namespace {

View view_of(std::vector<int64_t>& values) {
  return View(values.data(), DType::kInt64, {static_cast<int64_t>(values.size())});
}

/// Lowers counts from the end until they add up to `most`.
void clip(std::vector<int64_t>& counts, int64_t most) {
  for (int64_t& count : counts) {
    count = std::min(count, most);
    most -= count;
  }
}

}  // namespace

NumberedSlots number_slots(Communicator& ranks, int64_t tokens, int64_t num_buckets,
                           std::vector<int32_t> bucket_of, const std::string& tag) {
  std::vector<int64_t> counts = count_buckets(bucket_of, tokens, num_buckets);
  std::vector<int64_t> lower = counts;
  Pending sum = ranks.start_all_reduce_sum(view_of(counts), tag);
  Pending scan = ranks.start_exclusive_scan_sum(view_of(lower), tag);
  sum.wait();
  scan.wait();
  NumberedSlots numbered{.slots = std::move(bucket_of),
                         .bucket_begin = first_slots(counts, num_buckets)};
  assign_slots(numbered.bucket_begin, lower, tokens, num_buckets, numbered.slots);
  return numbered;
}

std::vector<int32_t> made_up_slots(const SlotWindows& windows, Slice positions, int64_t lanes) {
  constexpr double kGoldenRatio = 0.6180339887498949;
  const int64_t length = windows.length();
  std::vector<int32_t> slots;
  slots.reserve(static_cast<size_t>(lanes * windows.rounds() * positions.elements()));
  for (int64_t list = 0; list < lanes * windows.rounds(); ++list) {
    // position → (factor · position) mod T hits every slot once.
    const double turn = static_cast<double>(list + 1) * kGoldenRatio;
    auto factor = static_cast<int64_t>(static_cast<double>(length) * (turn - std::floor(turn)));
    while (std::gcd(factor, length) != 1) ++factor;
    for (int64_t position = positions.begin; position < positions.end; ++position) {
      slots.push_back(static_cast<int32_t>(factor * position % length));
    }
  }
  return slots;
}

std::vector<LaneRoute> make_routes(Communicator& ranks, const SlotWindows& windows, int64_t tokens,
                                   std::span<const int32_t> slots, bool planned,
                                   const std::string& tag) {
  constexpr int64_t kCounts = 2;  // of tokens and of results
  const auto of_lane = static_cast<size_t>(windows.rounds() * tokens);
  const size_t lanes = slots.size() / of_lane;
  const auto size = static_cast<size_t>(ranks.size());
  const int64_t counts_each = kCounts * static_cast<int64_t>(lanes);
  std::vector<int64_t> told(size * static_cast<size_t>(counts_each));
  std::vector<LaneRoute> routes(lanes);
  for (size_t lane = 0; lane < lanes; ++lane) {
    routes[lane].leaving = departures(windows, tokens, slots.subspan(lane * of_lane, of_lane));
    for (size_t rank = 0; rank < size; ++rank) {
      int64_t* const counts = told.data() + kCounts * (rank * lanes + lane);
      counts[0] = routes[lane].leaving.tokens_to[rank];
      counts[1] = routes[lane].leaving.results_from[rank];
    }
  }

  std::vector<int64_t> heard(told.size());
  ranks.all_to_all(view_of(told), equal_slices(counts_each, ranks.size()), view_of(heard),
                   equal_slices(counts_each, ranks.size()), tag);

  const int64_t most_tokens = windows.most_tokens_held(ranks.rank());
  const int64_t most_results = windows.rounds() * windows.own(ranks.rank()).size();
  for (size_t lane = 0; lane < lanes; ++lane) {
    LaneRoute& route = routes[lane];
    for (size_t rank = 0; rank < size; ++rank) {
      const int64_t* const counts = heard.data() + kCounts * (rank * lanes + lane);
      route.tokens_from.push_back(counts[0]);
      route.results_to.push_back(counts[1]);
    }
    if (planned) {
      clip(route.tokens_from, most_tokens);
      clip(route.results_to, most_results);
    }
  }
  return routes;
}

}  // namespace reformer
