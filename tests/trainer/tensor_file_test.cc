// What is common to all files of tensors: dtypes, and what is said of a tensor that is not there.
#include "trainer/weights/tensor_file.h"

#include <cmath>
#include <functional>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"

namespace reformer {
namespace {

using testing::expect_contains;

/// A file of one tensor "t", in memory.
class OneTensor final : public TensorFile {
 public:
  template <typename T>
  OneTensor(const std::string& dtype, std::initializer_list<T> values) : TensorFile("one") {
    const auto* const bytes = reinterpret_cast<const uint8_t*>(values.begin());
    bytes_.assign(bytes, bytes + values.size() * sizeof(T));
    add("t", {.dtype = dtype,
              .shape = {static_cast<int64_t>(values.size())},
              .begin = 0,
              .end = bytes_.size()});
  }

  void require_shape(const std::vector<int64_t>& extents) const { checked_shape("s", extents); }

 private:
  std::span<const uint8_t> elements_of(const std::string&, const Entry&) const override {
    return bytes_;
  }

  std::vector<uint8_t> bytes_;
};

using Halves = std::initializer_list<uint16_t>;

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(TensorFileTest, EveryRealDtypeIsReadAsFloat32) {
  const auto read = [](const TensorFile& file) {
    const Tensor values = file.read("t", DType::kFloat32);
    return std::vector<float>(values.data<float>(), values.data<float>() + 4);
  };
  const std::vector<float> expected = {1.0f, -0.5f, 0x1p-24f, 65504.0f};
  EXPECT_EQ(read(OneTensor("F32", {1.0f, -0.5f, 0x1p-24f, 65504.0f})), expected);
  EXPECT_EQ(read(OneTensor("F64", {1.0, -0.5, 0x1p-24, 65504.0})), expected);
  EXPECT_EQ(read(OneTensor("F16", Halves{0x3c00, 0xb800, 0x0001, 0x7bff})), expected);
  EXPECT_EQ(read(OneTensor("BF16", Halves{0x3f80, 0xbf00, 0x3380, 0x4780})),
            (std::vector<float>{1.0f, -0.5f, 0x1p-24f, 65536.0f}));
  const std::vector<float> special = read(OneTensor("F16", Halves{0x7c00, 0xfc00, 0x7e00, 0x8000}));
  EXPECT_TRUE(std::isinf(special[0]) && special[0] > 0);
  EXPECT_TRUE(std::isinf(special[1]) && special[1] < 0);
  EXPECT_TRUE(std::isnan(special[2]));
  EXPECT_TRUE(special[3] == 0 && std::signbit(special[3]));
}

TEST(TensorFileTest, Float64KeepsItsDigits) {
  EXPECT_EQ(OneTensor("F64", {0.1}).read("t", DType::kFloat64).data<double>()[0], 0.1);
  EXPECT_EQ(OneTensor("F64", {0.1}).read("t", DType::kFloat32).data<float>()[0], 0.1f);
}

TEST(TensorFileTest, IntegersMustFit) {
  const OneTensor file("I64", {int64_t{-3}, int64_t{1} << 40});
  EXPECT_EQ(file.read("t", DType::kInt64).data<int64_t>()[1], int64_t{1} << 40);
  expect_contains(message_of([&] { file.read("t", DType::kInt32); }),
                  "one: t has the value 1099511627776, which int32 cannot hold");
  expect_contains(message_of([&] { file.read("t", DType::kUint8); }), "value -3");
  expect_contains(message_of([&] { file.read("t", DType::kFloat32); }),
                  "t is stored as I64 and cannot be read as float32");
  expect_contains(message_of([&] { file.read("a\nb", DType::kInt64); }), "one: has no tensor a?b");
  expect_contains(message_of([] { OneTensor("I8", {int8_t{1}}).read("t", DType::kInt64); }),
                  "t is stored as I8");
}

TEST(TensorFileTest, ShapesAreChecked) {
  const OneTensor file("U8", {uint8_t{1}});
  file.require_shape({1, 1, 1, 1, 1});
  file.require_shape({0, int64_t{1} << 40});
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{1, 1, 1, 1, 1, 1}, {-1}, {int64_t{1} << 32, int64_t{1} << 32}}) {
    expect_contains(message_of([&] { file.require_shape(shape); }), "one: s has a bad shape");
  }
}

}  // namespace
}  // namespace reformer
