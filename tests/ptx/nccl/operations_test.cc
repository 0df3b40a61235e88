// Every operation of the stand-in, with ranks as processes.
#include <bit>
#include <cstdint>
#include <numeric>
#include <type_traits>

#include "tests/ptx/nccl/ranks_for_tests.h"

namespace reformer::ptx::nccl {
namespace {

template <typename T>
constexpr ncclDataType_t kTypeOf = ncclInt8;
template <>
constexpr ncclDataType_t kTypeOf<uint8_t> = ncclUint8;
template <>
constexpr ncclDataType_t kTypeOf<int32_t> = ncclInt32;
template <>
constexpr ncclDataType_t kTypeOf<uint32_t> = ncclUint32;
template <>
constexpr ncclDataType_t kTypeOf<int64_t> = ncclInt64;
template <>
constexpr ncclDataType_t kTypeOf<uint64_t> = ncclUint64;
template <>
constexpr ncclDataType_t kTypeOf<float> = ncclFloat32;
template <>
constexpr ncclDataType_t kTypeOf<double> = ncclFloat64;

template <typename T>
class SumTest : public ::testing::Test {};
using Summed =
    ::testing::Types<int8_t, uint8_t, int32_t, uint32_t, int64_t, uint64_t, float, double>;
TYPED_TEST_SUITE(SumTest, Summed);

TYPED_TEST(SumTest, AllReduceAddsEveryElement) {
  run_ranks(3, [](int rank, const ncclUniqueId& id) {
    ncclComm_t const world = meet(3, id, rank);
    std::vector<TypeParam> values(50);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<TypeParam>(i + 1);
    ncclAllReduce(values.data(), values.data(), values.size(), kTypeOf<TypeParam>, ncclSum, world,
                  kStream);
    ASSERT_EQ(settle(world), ncclSuccess);
    ASSERT_TRUE(run_streams());
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(values[i], static_cast<TypeParam>(3 * (i + 1)));
    }
  });
}

/// The 16-bit patterns of 1 + 2^-k for the ranks 0 and 1 sum to 2 and something that is rounded.
void expect_half_sum(ncclDataType_t dtype, uint16_t one, uint16_t sum) {
  run_ranks(2, [&](int rank, const ncclUniqueId& id) {
    ncclComm_t const world = meet(2, id, rank);
    uint16_t value = rank == 0 ? one : static_cast<uint16_t>(one + 1);
    ncclAllReduce(&value, &value, 1, dtype, ncclSum, world, kStream);
    ASSERT_EQ(settle(world), ncclSuccess);
    ASSERT_TRUE(run_streams());
    EXPECT_EQ(value, sum);
  });
}

TEST(NcclStandInTest, SixteenBitSumsRoundToNearestEven) {
  expect_half_sum(ncclFloat16, 0x3c00, 0x4000);   // 1 + (1 + 2^-10) lies halfway: even is 2
  expect_half_sum(ncclBfloat16, 0x3f80, 0x4000);  // 1 + (1 + 2^-7)
  expect_half_sum(ncclFloat16, 0x3c01, 0x4002);   // halfway again: even is up
  expect_half_sum(ncclBfloat16, 0x3f81, 0x4002);
}

TEST(NcclStandInTest, FloatingPointSumsAreTakenInRankOrder) {
  run_ranks(4, [](int rank, const ncclUniqueId& id) {
    ncclComm_t const world = meet(4, id, rank);
    constexpr float kTerms[] = {1e8f, 3.0f, -1e8f, 0.25f};
    float value = kTerms[rank];
    ncclAllReduce(&value, &value, 1, ncclFloat32, ncclSum, world, kStream);
    ASSERT_EQ(settle(world), ncclSuccess);
    ASSERT_TRUE(run_streams());
    EXPECT_EQ(value, ((kTerms[0] + kTerms[1]) + kTerms[2]) + kTerms[3]);
  });
}

TEST(NcclStandInTest, SlicesAndRoots) {
  run_ranks(3, [](int rank, const ncclUniqueId& id) {
    ncclComm_t const world = meet(3, id, rank);
    std::vector<int64_t> scattered{rank, 10 + rank, 20 + rank, 30 + rank, 40 + rank, 50 + rank};
    const std::vector<int64_t> before = scattered;
    int64_t* const own = scattered.data() + 2 * rank;
    std::vector<int32_t> gathered(3, -1);
    gathered[static_cast<size_t>(rank)] = 7 * rank;
    std::vector<uint8_t> told(5, static_cast<uint8_t>(rank));
    int64_t reduced = rank + 1;
    ncclReduceScatter(scattered.data(), own, 2, ncclInt64, ncclSum, world, kStream);
    ASSERT_EQ(settle(world), ncclSuccess);
    ncclAllGather(&gathered[static_cast<size_t>(rank)], gathered.data(), 1, ncclInt32, world,
                  kStream);
    ASSERT_EQ(settle(world), ncclSuccess);
    ncclBroadcast(told.data(), told.data(), told.size(), ncclUint8, 2, world, kStream);
    ASSERT_EQ(settle(world), ncclSuccess);
    ncclReduce(&reduced, &reduced, 1, ncclInt64, ncclSum, 1, world, kStream);
    ASSERT_EQ(settle(world), ncclSuccess);
    ASSERT_TRUE(run_streams());
    for (size_t i = 0; i < scattered.size(); ++i) {
      const bool is_own = i / 2 == static_cast<size_t>(rank);
      EXPECT_EQ(scattered[i], is_own ? 30 * static_cast<int64_t>(i) + 3 : before[i]) << i;
    }
    EXPECT_EQ(gathered, (std::vector<int32_t>{0, 7, 14}));
    EXPECT_EQ(told, std::vector<uint8_t>(5, 2));
    EXPECT_EQ(reduced, rank == 1 ? 6 : rank + 1);
  });
}

// More bytes than a channel holds, each way, to the rank itself too.
TEST(NcclStandInTest, AGroupSendsAndReceivesAtOnce) {
  run_ranks(2, [](int rank, const ncclUniqueId& id) {
    ncclComm_t const world = meet(2, id, rank);
    constexpr size_t kCount = 100000;
    std::vector<float> sent(2 * kCount);
    std::iota(sent.begin(), sent.end(), static_cast<float>(rank) * 1e6f);
    std::vector<float> received(2 * kCount);
    ncclGroupStart();
    for (size_t peer = 0; peer < 2; ++peer) {
      ncclSend(sent.data() + peer * kCount, kCount, ncclFloat32, static_cast<int>(peer), world,
               kStream);
      ncclRecv(received.data() + peer * kCount, kCount, ncclFloat32, static_cast<int>(peer), world,
               kStream);
    }
    EXPECT_EQ(ncclGroupEnd(), ncclInProgress);
    ASSERT_EQ(settle(world), ncclSuccess);
    ASSERT_TRUE(run_streams());
    for (size_t peer = 0; peer < 2; ++peer) {
      const float first = static_cast<float>(peer) * 1e6f + static_cast<float>(rank) * kCount;
      EXPECT_EQ(received[peer * kCount], first);
      EXPECT_EQ(received[peer * kCount + kCount - 1], first + kCount - 1);
    }
  });
}

TEST(NcclStandInTest, AGroupOfReductionsHasARootForEach) {
  run_ranks(2, [](int rank, const ncclUniqueId& id) {
    ncclComm_t const world = meet(2, id, rank);
    std::vector<int64_t> values{1 + rank, 2, 3};
    ncclGroupStart();
    ncclReduce(&values[0], &values[0], 1, ncclInt64, ncclSum, 1, world, kStream);
    ncclReduce(&values[1], &values[1], 2, ncclInt64, ncclSum, 0, world, kStream);
    ncclGroupEnd();
    ASSERT_EQ(settle(world), ncclSuccess);
    ASSERT_TRUE(run_streams());
    EXPECT_EQ(values,
              rank == 0 ? (std::vector<int64_t>{1, 4, 6}) : (std::vector<int64_t>{3, 2, 3}));
  });
}

TEST(NcclStandInTest, GroupsOfRanksAreOrderedByKey) {
  run_ranks(4, [](int rank, const ncclUniqueId& id) {
    ncclComm_t const world = meet(4, id, rank);
    ncclComm_t group = nullptr;
    const int color = rank == 3 ? NCCL_SPLIT_NOCOLOR : 5;
    EXPECT_EQ(ncclCommSplit(world, color, -rank, &group, nullptr), ncclInProgress);
    ASSERT_EQ(settle(world), ncclSuccess);
    ASSERT_EQ(group == nullptr, rank == 3);
    if (group == nullptr) return;
    int own = -1;
    int size = 0;
    int device = -1;
    ncclCommUserRank(group, &own);
    ncclCommCount(group, &size);
    ncclCommCuDevice(group, &device);
    EXPECT_EQ(own, 2 - rank);
    EXPECT_EQ(size, 3);
    EXPECT_EQ(device, rank);
    int64_t value = rank;
    ncclBroadcast(&value, &value, 1, ncclInt64, 0, group, kStream);
    ASSERT_EQ(settle(group), ncclSuccess);
    ASSERT_TRUE(run_streams());
    EXPECT_EQ(value, 2);
  });
}

TEST(NcclStandInTest, BlockingCallsReturnWhenAllIsDone) {
  run_ranks(2, [](int rank, const ncclUniqueId& id) {
    ncclComm_t world = nullptr;
    ASSERT_EQ(ncclCommInitRank(&world, 2, id, rank), ncclSuccess);
    int64_t value = 3;
    EXPECT_EQ(ncclAllReduce(&value, &value, 1, ncclInt64, ncclSum, world, kStream), ncclSuccess);
    ASSERT_TRUE(run_streams());
    EXPECT_EQ(value, 6);
    ncclComm_t copy = nullptr;
    EXPECT_EQ(ncclCommSplit(world, 0, rank, &copy, nullptr), ncclSuccess);
    EXPECT_NE(copy, nullptr);
    EXPECT_EQ(ncclCommFinalize(world), ncclSuccess);
    EXPECT_EQ(ncclCommDestroy(world), ncclSuccess);
    EXPECT_EQ(ncclCommDestroy(world), ncclInvalidArgument);
  });
}

}  // namespace
}  // namespace reformer::ptx::nccl
