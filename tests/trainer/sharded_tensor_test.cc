// Tensors in parts: what each rank holds of them, and the way to rank 0 and back.
#include "trainer/sharded_tensor.h"

#include <numeric>

#include <gtest/gtest.h>

#include "comm/buckets.h"
#include "comm/threads.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/kernels/op_testing.h"

namespace reformer {
namespace {

TEST(PartsWithinTest, AreWhereSliceAndTensorMeet) {
  const std::vector<Slice> slices = {{0, 64}, {64, 256}, {256, 256}, {256, 320}};
  using Parts = std::vector<Slice>;
  EXPECT_EQ(parts_within({0, 320}, slices), slices);
  EXPECT_EQ(parts_within({64, 100}, slices), (Parts{{0, 0}, {0, 36}, {36, 36}, {36, 36}}));
  EXPECT_EQ(parts_within({50, 300}, slices), (Parts{{0, 14}, {14, 206}, {206, 206}, {206, 250}}));
}

TEST(ShardedTensorTest, GoesToRankZeroAndBack) {
  constexpr int kRanks = 4;
  const std::vector<Slice> parts = {{3, 8}, {0, 3}, {8, 8}, {8, 12}};
  std::vector<float> numbers(12);
  std::iota(numbers.begin(), numbers.end(), 1.0f);
  run_as_threads(kRanks, [&](Communicator& communicator) {
    const std::unique_ptr<Backend> backend = make_cpu_backend(1);
    const Slice& own = parts[static_cast<size_t>(communicator.rank())];
    const Tensor part(DType::kFloat32, {std::max<int64_t>(own.elements(), 1)});
    const ShardedTensor tensor{
        .name = "t", .shape = {3, 4}, .parts = parts, .part = part.view().rows(0, own.elements())};
    const View whole =
        communicator.rank() == 0 ? View(numbers.data(), DType::kFloat32, {3, 4}) : View();
    scatter(whole, tensor, *backend, communicator);
    for (int64_t i = 0; i < own.elements(); ++i) {
      EXPECT_EQ(part.data<float>()[i], static_cast<float>(own.begin + i + 1));
    }
    const Tensor gathered = gather(tensor, *backend, communicator);
    EXPECT_EQ(gathered.view().defined(), communicator.rank() == 0);
    if (communicator.rank() == 0) {
      EXPECT_EQ(gathered.shape(), Shape({3, 4}));
      EXPECT_TRUE(testing::same_bits(gathered.view(), whole));
    }
  });
}

}  // namespace
}  // namespace reformer
