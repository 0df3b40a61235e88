// A rank that reduces on its GPU in four steps, and what can go wrong with it. For
// nccl_faults_test.sh.
//
//   nccl_faults FOLDER [swap|sleep|busy|forget]
//
// Writes its process id and the time of each step to FOLDER. What rank 1 does wrong at step 3:
//   swap     two operations in the other order
//   sleep    comes 20 s late
//   busy     (both ranks) starts the step and then minds other things for 20 s
//   forget   (both ranks) lets go of an operation under way
#include <fstream>
#include <string_view>
#include <thread>

#include <fmt/format.h>
#include <unistd.h>

#include "comm/nccl.h"
#include "kernels/core/errors.h"
#include "tests/comm/device_place.h"

namespace reformer {
namespace {

constexpr int kFaultyStep = 3;
constexpr std::chrono::seconds kTimeout{2};
constexpr std::chrono::seconds kLate{20};

void note(const std::string& folder, int rank, const std::string& what) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  std::ofstream(fmt::format("{}/rank-{}", folder, rank), std::ios::app) << fmt::format(
      "{} {}\n", what, std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

struct Memory {
  testing::Placed<float> sums;
  testing::Placed<float> told;
};

void step(Communicator& ranks, const Memory& memory, std::string_view fault, int index) {
  const bool faulty = index == kFaultyStep;
  const auto sum = [&] { ranks.all_reduce_sum(memory.sums.view(), fmt::format("step {}", index)); };
  const auto tell = [&] { ranks.broadcast(memory.told.view(), 0, "parameters"); };
  if (faulty && ranks.rank() == 1 && fault == "sleep") std::this_thread::sleep_for(kLate);
  if (faulty && ranks.rank() == 1 && fault == "swap") {
    tell();
    sum();
  } else if (faulty && fault == "forget") {
    const Pending forgotten = ranks.start_all_reduce_sum(memory.sums.view(), "step 3");
  } else {
    sum();
    tell();
  }
  if (faulty && fault == "busy") std::this_thread::sleep_for(kLate);
  memory.sums.values();
}

void run(MpiWorld& world, const CommunicatorSetup& setup, const std::string& folder,
         std::string_view fault) {
  const int rank = world.ranks().rank();
  testing::DevicePlace gpu(choose_device(world));
  note(folder, rank, "meeting");
  const std::unique_ptr<Communicator> ranks = make_nccl_communicator(world, gpu.stream(), setup);
  note(folder, rank, "split");
  const std::unique_ptr<Communicator> group = ranks->split(0, "groups");
  const Memory memory{.sums = {gpu, std::vector<float>(1000, 1)},
                      .told = {gpu, std::vector<float>(10, 1)}};
  for (int index = 1; index <= 4; ++index) {
    note(folder, rank, fmt::format("step-{}", index));
    step(*ranks, memory, fault, index);
  }
}

int status_of(const Error& error) {
  return dynamic_cast<const DeviceError*>(&error) != nullptr ? 5 : 6;
}

}  // namespace
}  // namespace reformer

int main(int argc, char** argv) {
  using namespace reformer;
  if (argc < 2) return 2;
  MpiWorld world({.timeout = std::chrono::minutes(1)});
  const int rank = world.ranks().rank();
  note(argv[1], rank, fmt::format("pid {}", getpid()));
  const CommunicatorSetup setup{.timeout = kTimeout};
  try {
    run(world, setup, argv[1], argc > 2 ? argv[2] : "");
    return 0;
  } catch (const Error& error) {
    fmt::print(stderr, "rank {} fails: {}\n", rank, error.what());
    for (const FlightRecord& record : setup.recorder->records()) {
      fmt::print(stderr, "rank {} record: {}\n", rank, describe(record));
    }
    world.abort(status_of(error));
  }
}
