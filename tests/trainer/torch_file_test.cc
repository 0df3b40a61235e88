// What torch.save wrote (tests/torch), in both of its forms, and what must be refused.
#include "trainer/weights/torch_file.h"

#include <filesystem>
#include <sstream>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"

namespace reformer {
namespace {

using testing::expect_contains;
using testing::read_file;
using testing::TemporaryDirectory;

template <typename T>
std::vector<T> values_of(const TorchFile& file, const std::string& name, DType dtype) {
  const Tensor tensor = file.read(name, dtype);
  return {tensor.data<T>(), tensor.data<T>() + tensor.elements()};
}

std::vector<float> floats(const TorchFile& file, const std::string& name) {
  return values_of<float>(file, name, DType::kFloat32);
}

/// Why the file is refused, or "accepted"; then `content`, unless null, is every tensor's name,
/// shape and values.
std::string refusal(const std::string& path, std::string* content = nullptr) {
  try {
    const TorchFile file(path);
    std::ostringstream all;
    for (const std::string& name : file.names()) {
      const Shape& shape = file.shape_of(name);
      if (shape.elements() > 1 << 20) return "accepted a large tensor";
      const bool real = name != "int64" && name != "int32" && name != "uint8" && name != "bool";
      const Tensor values = file.read(name, real ? DType::kFloat64 : DType::kInt64);
      all << name << shape;
      all.write(static_cast<const char*>(values.view().raw()),
                static_cast<std::streamsize>(values.view().bytes()));
    }
    if (content != nullptr) *content = all.str();
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

class TorchFileTest : public ::testing::TestWithParam<const char*> {
 protected:
  TorchFileTest() { std::filesystem::copy_file(path_, copy_); }

  const std::string path_ = std::string("tests/torch/") + GetParam();
  const TemporaryDirectory directory_;
  const std::string copy_ = directory_.path() + "/copy.bin";  // to be damaged
};

TEST_P(TorchFileTest, ReadsEveryDtypeAndPlace) {
  const TorchFile file(path_);
  EXPECT_EQ(file.names().size(), 13u);
  EXPECT_EQ(file.shape_of("whole"), (Shape{4, 3}));
  EXPECT_EQ(floats(file, "whole"), (std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(file.shape_of("rows 1 and 2"), (Shape{2, 3}));
  EXPECT_EQ(floats(file, "rows 1 and 2"), (std::vector<float>{3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(file.shape_of("column of one"), (Shape{3, 1}));
  EXPECT_EQ(floats(file, "column of one"), (std::vector<float>{3, 4, 5}));
  EXPECT_EQ(floats(file, "parameter"), (std::vector<float>{0.25f, -3.0f}));
  EXPECT_EQ(file.shape_of("scalar"), Shape{});
  EXPECT_EQ(floats(file, "scalar"), (std::vector<float>{7.5f}));
  EXPECT_EQ(file.shape_of("empty"), (Shape{0, 4}));
  EXPECT_TRUE(floats(file, "empty").empty());
  const std::vector<float> halves = {1.0f, -0.5f, 0x1p-24f, 65504.0f};
  EXPECT_EQ(floats(file, "float64"), halves);
  EXPECT_EQ(floats(file, "float16"), halves);
  EXPECT_EQ(floats(file, "bfloat16"), (std::vector<float>{1.0f, -0.5f, 0x1p-24f, 65536.0f}));
  const auto integers = [&](const std::string& name) {
    return values_of<int64_t>(file, name, DType::kInt64);
  };
  EXPECT_EQ(integers("int64"), (std::vector<int64_t>{-3, int64_t{1} << 40}));
  EXPECT_EQ(integers("int32"), (std::vector<int64_t>{-3, int64_t{1} << 30}));
  EXPECT_EQ(integers("uint8"), (std::vector<int64_t>{0, 255}));
  EXPECT_EQ(integers("bool"), (std::vector<int64_t>{1, 0}));
}

TEST_P(TorchFileTest, CutOffAnywhereItIsRefused) {
  for (size_t size = read_file(path_).size(); size-- > 0;) {
    std::filesystem::resize_file(copy_, size);
    EXPECT_NE(refusal(copy_), "accepted") << size << " bytes";
  }
}

TEST_P(TorchFileTest, AFlippedBitIsRefusedOrHarmless) {
  int refused = 0;
  std::string sound;
  ASSERT_EQ(refusal(path_, &sound), "accepted");
  const bool has_checksums = GetParam() == std::string("archive.bin");
  for (size_t bit = 0; bit < 8 * read_file(path_).size(); bit += 5) {
    testing::flip_bit(copy_, bit);
    std::string content;
    const std::string message = refusal(copy_, &content);
    testing::flip_bit(copy_, bit);
    refused += message != "accepted";
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    if (message != "accepted" || !has_checksums) continue;
    EXPECT_TRUE(content == sound) << "bit " << bit;
  }
  // Padding and times may change, and in the old form, which has no checksums, all numbers.
  EXPECT_GT(refused, 800);
}

INSTANTIATE_TEST_SUITE_P(Forms, TorchFileTest, ::testing::Values("archive.bin", "old.bin"),
                         [](const auto& form) {
                           return std::string(form.param).substr(0, std::strlen(form.param) - 4);
                         });

TEST(TorchFileTest, OtherThingsThanADictionaryOfTensorsAreRefused) {
  expect_contains(refusal("tests/torch/absent.bin"), "tests/torch/absent.bin: No such file");
  expect_contains(refusal("tests/torch/make_torch_files.py"), "was not written by torch.save");
  expect_contains(refusal("tests/torch/tensor.bin"), "holds no dictionary of tensors");
  expect_contains(refusal("tests/torch/nested.bin"), "nested.bin: model is no tensor");
  expect_contains(refusal("tests/torch/not_contiguous.bin"),
                  "transposed is not contiguous; tensor.contiguous()");
  expect_contains(refusal("tests/torch/protocol_4.bin"), "is a pickle of protocol 4");
}

TEST(TorchFileTest, NothingIsExecuted) {
  expect_contains(refusal("tests/torch/command.bin"),
                  "wants Python's posix system, which no dictionary of tensors needs");
}

}  // namespace
}  // namespace reformer
