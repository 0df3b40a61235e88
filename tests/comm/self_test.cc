// Collectives of one rank: what it has is what everyone has.
#include "comm/self.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

namespace reformer {
namespace {

template <typename T>
std::vector<T> values_of(const Tensor& tensor) {
  return {tensor.data<T>(), tensor.data<T>() + tensor.elements()};
}

template <typename T>
Tensor tensor_of(const std::vector<T>& values) {
  Tensor tensor(DTypeOf<T>::value, {static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), tensor.data<T>());
  return tensor;
}

TEST(SelfCommunicatorTest, IsAlone) {
  const SelfCommunicator self;
  EXPECT_EQ(self.rank(), 0);
  EXPECT_EQ(self.size(), 1);
  EXPECT_EQ(self.description(), "one rank");
}

TEST(SelfCommunicatorTest, ASumOverOneRankIsItsOwnNumbersToTheBit) {
  SelfCommunicator self;
  const std::vector<int64_t> integers{std::numeric_limits<int64_t>::min(), -1, 0, 7,
                                      std::numeric_limits<int64_t>::max()};
  const Tensor sum = tensor_of(integers);
  self.all_reduce_sum(sum.view());
  EXPECT_EQ(values_of<int64_t>(sum), integers);

  const std::vector<float> floats{1e-45f, -0.0f, 3.4e38f};
  const Tensor float_sum = tensor_of(floats);
  self.all_reduce_sum(float_sum.view());
  EXPECT_EQ(values_of<float>(float_sum), floats);
  EXPECT_TRUE(std::signbit(float_sum.data<float>()[1]));
}

TEST(SelfCommunicatorTest, ABroadcastChangesNothing) {
  SelfCommunicator self;
  const std::vector<int32_t> values{3, -2, 1};
  const Tensor data = tensor_of(values);
  self.broadcast(data.view(), 0);
  EXPECT_EQ(values_of<int32_t>(data), values);
}

TEST(SelfCommunicatorTest, GathersItsOnePart) {
  SelfCommunicator self;
  const std::vector<double> values{1.5, -2.5, 0};
  const Tensor part = tensor_of(values);
  const Tensor all(DType::kFloat64, {1, 3});
  self.all_gather(part.view(), all.view());
  EXPECT_EQ(values_of<double>(all), values);

  const Tensor nothing(DType::kFloat64, {0});
  self.all_gather(nothing.view(), nothing.view());
  EXPECT_EQ(values_of<double>(all), values);
}

TEST(SelfCommunicatorTest, EveryOperationIsDoneAtOnce) {
  SelfCommunicator self;
  const Tensor data = tensor_of<int64_t>({5});
  const std::unique_ptr<Pending> sum = self.start_all_reduce_sum(data.view());
  const std::unique_ptr<Pending> sent = self.start_broadcast(data.view(), 0);
  sent->wait();
  sum->wait();
  self.barrier();
  EXPECT_EQ(values_of<int64_t>(data), std::vector<int64_t>{5});
}

TEST(SelfCommunicatorDeathTest, WrongUseIsABug) {
  SelfCommunicator self;
  const Tensor bytes(DType::kUint8, {4});
  const Tensor two(DType::kInt64, {2});
  const Tensor three(DType::kInt64, {3});
  EXPECT_DEATH(self.all_reduce_sum(bytes.view()), "dtype");
  EXPECT_DEATH(self.broadcast(two.view(), 1), "root == 0 \\(1 vs 0\\)");
  EXPECT_DEATH(self.all_gather(two.view(), three.view()), "elements");
  EXPECT_DEATH(self.all_gather(two.view(), bytes.view()), "dtype");
}

}  // namespace
}  // namespace reformer
