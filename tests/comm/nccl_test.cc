// The NCCL communicator under a real mpirun, one GPU for each rank: every rank runs all tests at
// the same time. Run in several orders of the streams, it also shows a stream that does not wait
// for what it needs.
#include "comm/nccl.h"

#include <thread>

#include "tests/comm/device_place.h"

namespace reformer {
namespace {

using testing::Placed;

MpiWorld* world = nullptr;            // of this process, set by main
testing::DevicePlace* gpu = nullptr;  // of this rank
Communicator* ranks = nullptr;        // NCCL's

TEST(NcclTest, EveryOperationDoesWhatItSaysOnTheGpu) {
  testing::placed_cases(*ranks, *gpu);
}

TEST(NcclTest, EveryOperationDoesWhatItSaysInHostMemory) {
  testing::all_cases(*ranks);
}

TEST(NcclTest, GroupsWorkOnTheGpuToo) {
  const std::unique_ptr<Communicator> group = ranks->split(ranks->rank() % 2, "parity");
  testing::placed_cases(*group, *gpu);
  testing::all_reduce_case<int64_t>(*ranks, *gpu, 100);
  const std::unique_ptr<Communicator> part = group->split(0, "the same once more");
  testing::all_gather_case<float>(*part, *gpu, equal_slices(10, part->size()));
}

TEST(NcclTest, BFloat16IsMoved) {
  const Placed<uint8_t> data(*gpu, std::vector<uint8_t>(16, static_cast<uint8_t>(ranks->rank())));
  ranks->broadcast(View(data.view().raw(), DType::kBFloat16, {8}), ranks->size() - 1, "halves");
  EXPECT_EQ(data.values()[15], ranks->size() - 1);
}

// The compute stream works on while operations are under way, and writes their memory afterwards.
TEST(NcclTest, TheStreamsWaitForEachOther) {
  constexpr int kRounds = 20;
  constexpr int64_t kCount = 500;
  const int64_t size = ranks->size();
  const std::vector<Slice> slices = equal_slices(kCount, ranks->size());
  const Placed<int64_t> sums(*gpu, std::vector<int64_t>(static_cast<size_t>(kCount * size)));
  const Placed<int64_t> results(*gpu, std::vector<int64_t>(kRounds * kCount));
  const Placed<int64_t> source(
      *gpu, std::vector<int64_t>(static_cast<size_t>(kCount * size), ranks->rank() + 1));
  const View own = slices[static_cast<size_t>(ranks->rank())].of(sums.view());
  for (int round = 0; round < kRounds; ++round) {
    testing::require(cudaMemcpyAsync(sums.view().raw(), source.view().raw(), sums.view().bytes(),
                                     cudaMemcpyDeviceToDevice, gpu->stream()));
    Pending sum = ranks->start_reduce_scatter_sum(sums.view(), slices, "overlapped");
    // Meanwhile, something else.
    testing::require(
        cudaMemsetAsync(results.view().rows(round * kCount, (round + 1) * kCount).raw(), 0,
                        own.bytes(), gpu->stream()));
    sum.wait();
    testing::require(
        cudaMemcpyAsync(results.view().rows(round * kCount, (round + 1) * kCount).raw(), own.raw(),
                        own.bytes(), cudaMemcpyDeviceToDevice, gpu->stream()));
    testing::require(cudaMemsetAsync(sums.view().raw(), 0xff, sums.view().bytes(), gpu->stream()));
  }
  for (const int64_t value : results.values()) ASSERT_EQ(value, size * (size + 1) / 2);
}

TEST(NcclTest, TheHostWaitsForNothing) {
  if (ranks->size() == 1) return;
  ranks->barrier("start");
  const Placed<float> data(*gpu, std::vector<float>(1000, 1.0f));
  const auto begin = std::chrono::steady_clock::now();
  if (ranks->rank() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1000));
  Pending sum = ranks->start_all_reduce_sum(data.view(), "late");
  sum.wait();
  if (ranks->rank() != 0) {
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(700));
    EXPECT_EQ(ranks->recorder().records().back().finished_us, 0) << "it is still under way";
  }
  EXPECT_EQ(data.values()[0], static_cast<float>(ranks->size()));
}

TEST(NcclTest, TheFlightRecorderSeesTheEnd) {
  const Placed<float> data(*gpu, std::vector<float>(10, 1.0f));
  ranks->all_reduce_sum(data.view(), "seen");
  data.values();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (ranks->recorder().records().back().finished_us == 0) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_STREQ(ranks->recorder().records().back().tag, "seen");
}

TEST(NcclTest, EveryRankHasAGpuOfItsOwn) {
  const int device = choose_device(*world);
  EXPECT_EQ(device, world->local_rank());
  EXPECT_NE(ranks->description().find("NCCL 2."), std::string::npos) << ranks->description();
}

}  // namespace
}  // namespace reformer

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  const reformer::CommunicatorSetup setup{.timeout = std::chrono::minutes(1)};
  reformer::MpiWorld world(setup);
  reformer::world = &world;
  reformer::testing::DevicePlace gpu(reformer::choose_device(world));
  reformer::gpu = &gpu;
  const std::unique_ptr<reformer::Communicator> ranks =
      reformer::make_nccl_communicator(world, gpu.stream(), setup);
  reformer::ranks = ranks.get();
  const int status = RUN_ALL_TESTS();
  if (status != 0) world.abort(status);
  return status;
}
