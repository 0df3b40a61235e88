// How fast the MPI communicator is. Start it with mpirun:
//
//   mpirun -n 2 build/release/tests/bench/comm_bench
#include <algorithm>
#include <chrono>
#include <functional>

#include <fmt/format.h>

#include "comm/buckets.h"
#include "comm/mpi.h"

namespace reformer {
namespace {

/// Seconds of one call, the mean over as many as take about half a second on rank 0.
double seconds_of(Communicator& ranks, const std::function<void()>& call) {
  using Clock = std::chrono::steady_clock;
  const auto run = [&](int64_t times) {
    ranks.barrier("begin");
    const Clock::time_point begin = Clock::now();
    for (int64_t i = 0; i < times; ++i) call();
    return std::chrono::duration<double>(Clock::now() - begin).count() / static_cast<double>(times);
  };
  run(3);  // connects the ranks
  int64_t times = std::max<int64_t>(1, static_cast<int64_t>(0.5 / run(3)));
  ranks.broadcast(View(&times, DType::kInt64, {1}), 0, "how often");
  return run(times);
}

void report(const Communicator& ranks, const char* what, double bytes, double seconds) {
  if (ranks.rank() != 0) return;
  const std::string rate =
      bytes > 0 ? fmt::format("{:8.2f} GB/s sent by a rank", bytes / seconds * 1e-9) : "";
  fmt::print("{:<34} {:10.1f} us {}\n", what, seconds * 1e6, rate);
}

void run_all(Communicator& ranks) {
  int64_t one = 1;
  report(ranks, "barrier", 0, seconds_of(ranks, [&] { ranks.barrier("bench"); }));
  report(ranks, "all-reduce of one int64", 0, seconds_of(ranks, [&] { ranks.sum(one, "bench"); }));
  const double others = static_cast<double>(ranks.size() - 1) / ranks.size();
  for (const int64_t mebibytes : {1, 16, 128}) {
    const int64_t elements = mebibytes * (1 << 17);
    const Tensor data(DType::kInt64, {elements});
    const std::vector<Slice> slices = even_slices(0, elements, ranks.size());
    const double bytes = static_cast<double>(data.view().bytes()) * others;
    report(ranks, fmt::format("reduce-scatter of {} MiB", mebibytes).c_str(), bytes,
           seconds_of(ranks, [&] { ranks.reduce_scatter_sum(data.view(), slices, "bench"); }));
    report(ranks, fmt::format("all-gather of {} MiB", mebibytes).c_str(), bytes,
           seconds_of(ranks, [&] { ranks.all_gather(data.view(), slices, "bench"); }));
  }
}

}  // namespace
}  // namespace reformer

int main() {
  reformer::MpiWorld world;
  reformer::run_all(world.ranks());
}
