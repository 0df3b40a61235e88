#include "kernels/core/view.h"

#include <cstdint>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>

#include <gtest/gtest.h>

namespace reformer {
namespace {

std::string to_string(const auto& value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

TEST(Shape, CountsItsElements) {
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ((Shape{7}).elements(), 7);
  EXPECT_EQ((Shape{2, 3, 5, 7, 11}).elements(), 2310);
  EXPECT_EQ((Shape{2, 0, 5}).elements(), 0);
  EXPECT_EQ((Shape{int64_t{1} << 31, 1 << 20}).elements(), int64_t{1} << 51);
}

TEST(Shape, KeepsItsExtents) {
  const Shape shape{4, 0, 6};
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape[0], 4);
  EXPECT_EQ(shape[1], 0);
  EXPECT_EQ(shape[2], 6);
  EXPECT_EQ(shape.with_rows(9), (Shape{9, 0, 6}));
  EXPECT_EQ(shape, (Shape{4, 0, 6}));
}

TEST(Shape, ComparesRankAndExtents) {
  EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
  EXPECT_NE((Shape{2, 3}), (Shape{3, 2}));
  EXPECT_NE((Shape{2, 3}), (Shape{6}));
  EXPECT_NE((Shape{2}), (Shape{2, 0}));
  EXPECT_NE((Shape{1}), Shape());
}

TEST(Shape, Prints) {
  EXPECT_EQ(to_string(Shape{2, 30, 4}), "[2, 30, 4]");
  EXPECT_EQ(to_string(Shape()), "[]");
}

TEST(ShapeDeathTest, RefusesBugs) {
  EXPECT_DEATH((Shape{1, 2, 3, 4, 5, 6}), "6 vs 5");
  EXPECT_DEATH((Shape{2, -1}), "extent >= 0 \\(-1 vs 0\\)");
  EXPECT_DEATH((Shape{2, 3}[2]), "rank_");
  EXPECT_DEATH(Shape().with_rows(1), "rank_");
}

TEST(DType, SizesAreThoseOfTheCppTypes) {
  const auto expect_size = [](auto element) {
    EXPECT_EQ(size_of(DTypeOf<decltype(element)>::value), sizeof(element));
  };
  expect_size(float{});
  expect_size(double{});
  expect_size(uint32_t{});
  expect_size(int32_t{});
  expect_size(int64_t{});
  expect_size(uint8_t{});
  EXPECT_EQ(to_string(DType::kFixed32), "fixed32");
}

TEST(View, IsAbsentByDefault) {
  const View view;
  EXPECT_FALSE(view.defined());
  EXPECT_EQ(view.elements(), 0);
  EXPECT_EQ(view.bytes(), 0u);
  EXPECT_EQ(view.raw(), nullptr);
  EXPECT_EQ(view.data<int64_t>(), nullptr);
}

TEST(View, RefersToItsElements) {
  double elements[6] = {};
  const View view(elements, DType::kFloat64, {2, 3});
  const View copy = view;
  copy.data<double>()[5] = 1.5;
  EXPECT_EQ(elements[5], 1.5);
  EXPECT_EQ(view.elements(), 6);
  EXPECT_EQ(view.bytes(), 48u);
}

TEST(View, RowsArePartOfDimensionZero) {
  int32_t elements[24] = {};
  const View view(elements, DType::kInt32, {4, 2, 3});
  const View middle = view.rows(1, 3);
  EXPECT_EQ(middle.shape(), (Shape{2, 2, 3}));
  EXPECT_EQ(middle.dtype(), DType::kInt32);
  EXPECT_EQ(middle.data<int32_t>(), elements + 6);
  EXPECT_EQ(middle.rows(1, 2).data<int32_t>(), elements + 12);
  EXPECT_EQ(view.rows(0, 4).shape(), view.shape());
  EXPECT_EQ(view.rows(4, 4).elements(), 0);
  EXPECT_TRUE(view.rows(4, 4).defined());

  uint8_t bytes[5] = {};
  EXPECT_EQ(View(bytes, DType::kUint8, {5}).rows(3, 5).data<uint8_t>(), bytes + 3);
  const View empty(bytes, DType::kUint8, {0, 5});
  EXPECT_EQ(empty.rows(0, 0).shape(), (Shape{0, 5}));
}

TEST(View, ReshapesTheSameElements) {
  float elements[12] = {};
  const View view(elements, DType::kFloat32, {3, 4});
  const View reshaped = view.reshape({2, 1, 6});
  EXPECT_EQ(reshaped.shape(), (Shape{2, 1, 6}));
  EXPECT_EQ(reshaped.data<float>(), elements);
}

TEST(ViewDeathTest, RefusesBugs) {
  float elements[6] = {};
  const View view(elements, DType::kFloat32, {3, 2});
  EXPECT_DEATH(view.data<int32_t>(), "int32 vs float32");
  EXPECT_DEATH(view.data<uint32_t>(), "fixed32 vs float32");
  EXPECT_DEATH(view.rows(1, 4), "end <= shape_\\[0\\]");
  EXPECT_DEATH(view.rows(-1, 1), "0 <= begin");
  EXPECT_DEATH(view.rows(2, 1), "begin <= end");
  EXPECT_DEATH(view.reshape({7}), "7 vs 6");
  EXPECT_DEATH(View().rows(0, 0), "defined");
  EXPECT_DEATH(View().reshape({1}), "defined");
}

TEST(Tensor, IsZeroFilledAndAligned) {
  for (const int64_t count : {1, 3, 16, 17, 1000}) {
    const Tensor tensor(DType::kInt64, {count});
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.view().raw()) % 64, 0u);
    EXPECT_EQ(tensor.elements(), count);
    for (int64_t i = 0; i < count; ++i) ASSERT_EQ(tensor.data<int64_t>()[i], 0);
  }
}

TEST(Tensor, WithoutElementsIsDefined) {
  const Tensor tensor(DType::kFloat32, {0, 8});
  EXPECT_TRUE(tensor.view().defined());
  EXPECT_EQ(tensor.elements(), 0);
  EXPECT_EQ(tensor.shape(), (Shape{0, 8}));
  EXPECT_FALSE(Tensor().view().defined());
}

TEST(Tensor, MovesButNeverCopies) {
  static_assert(!std::is_copy_constructible_v<Tensor> && !std::is_copy_assignable_v<Tensor>);
  Tensor source(DType::kFloat32, {4});
  float* elements = source.data<float>();
  elements[3] = 2.0f;
  const Tensor moved = std::move(source);
  EXPECT_EQ(moved.data<float>(), elements);
  EXPECT_EQ(moved.data<float>()[3], 2.0f);
  EXPECT_EQ(moved.shape(), (Shape{4}));
}

}  // namespace
}  // namespace reformer
