// Files in the safetensors format: places, shapes, and every kind of damage.
#include "trainer/weights/safetensors.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/kernels/op_testing.h"
#include "tests/trainer/checkpoint_testing.h"

namespace reformer {
namespace {

using testing::expect_contains;
using testing::TemporaryDirectory;

template <typename T>
std::string bytes_of(std::initializer_list<T> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T)};
}

class SafetensorsTest : public ::testing::Test {
 protected:
  /// A file with this header and these bytes behind it.
  std::string file_of(const std::string& header, const std::string& data) {
    const std::string path = directory_.path() + "/file.safetensors";
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << bytes_of<uint64_t>({header.size()}) << header << data;
    return path;
  }

  std::string refusal(const std::string& header, const std::string& data) {
    return message_of([&] { SafetensorsFile file(file_of(header, data)); });
  }

  static std::string message_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const DataError& error) {
      return error.what();
    }
    return "accepted";
  }

  TemporaryDirectory directory_;
};

TEST_F(SafetensorsTest, TellsNamesAndShapesAndSkipsMetadata) {
  const SafetensorsFile file(file_of(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
      R"("a":{"dtype":"U8","shape":[],"data_offsets":[8,9]}})",
      bytes_of<float>({1.5f, -2.0f}) + "\x07"));
  EXPECT_EQ(file.names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(file.has("a"));
  EXPECT_FALSE(file.has("__metadata__"));
  EXPECT_EQ(file.shape_of("b"), (Shape{2, 1}));
  EXPECT_EQ(file.shape_of("a"), Shape{});
  EXPECT_EQ(file.read("b", DType::kFloat32).data<float>()[1], -2.0f);
  EXPECT_EQ(file.read("a", DType::kInt32).data<int32_t>()[0], 7);
}

TEST_F(SafetensorsTest, WhatIsWrittenIsReadAgain) {
  std::vector<StoredTensor> tensors;
  for (const Shape& shape : {Shape{2, 3}, Shape{}, Shape{0, 4}, Shape{5}}) {
    Tensor values(DType::kFloat32, shape);
    for (int64_t i = 0; i < values.elements(); ++i) {
      values.data<float>()[i] = static_cast<float>(i) + 0.1f;
    }
    tensors.push_back({"tensor " + std::to_string(tensors.size()), std::move(values)});
  }
  const std::string path = directory_.path() + "/written";
  write_safetensors(path, tensors);
  write_safetensors(path, tensors);  // replaces it
  const SafetensorsFile file(path);
  ASSERT_EQ(file.names().size(), tensors.size());
  for (const StoredTensor& tensor : tensors) {
    const Tensor read = file.read(tensor.name, DType::kFloat32);
    EXPECT_EQ(read.shape(), tensor.values.shape());
    EXPECT_TRUE(testing::same_bits(read.view(), tensor.values.view())) << tensor.name;
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_.path()), {}), 1);
  expect_contains(message_of([&] { write_safetensors(path + "/inside/a/file", tensors); }),
                  "/inside/a/file: cannot be written");
}

TEST_F(SafetensorsTest, DamageIsFoundWhenTheFileIsOpened) {
  const std::string four(16, '\0');
  expect_contains(message_of([&] { SafetensorsFile file(directory_.path() + "/absent"); }),
                  "/absent: No such file");
  std::ofstream(directory_.path() + "/short") << "abc";
  expect_contains(message_of([&] { SafetensorsFile file(directory_.path() + "/short"); }),
                  "/short: is too short");
  std::ofstream(directory_.path() + "/text") << std::string(100, 'x');
  expect_contains(message_of([&] { SafetensorsFile file(directory_.path() + "/text"); }),
                  "no safetensors file, or cut off");
  expect_contains(refusal("{", four), "damaged header");
  expect_contains(refusal("[]", four), "damaged header");
  expect_contains(refusal(R"({"t":{"dtype":"F32","shape":[4]}})", four), "damaged header");
  expect_contains(refusal(R"({"t":{"dtype":"F32","shape":[4],"data_offsets":[0,20]}})", four),
                  "t does not lie in the file");
  expect_contains(refusal(R"({"t":{"dtype":"F32","shape":[4],"data_offsets":[8,0]}})", four),
                  "t does not lie in the file");
  expect_contains(refusal(R"({"t":{"dtype":"F32","shape":[3],"data_offsets":[0,16]}})", four),
                  "t does not lie in the file with its shape");
  expect_contains(refusal(R"({"t":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}})", four),
                  "t has a bad shape");
  expect_contains(
      refusal(R"({"t":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,16]}})",
              four),
      "t has a bad shape");
  expect_contains(
      refusal(R"({"t":{"dtype":"F32","shape":[1,1,1,1,1,4],"data_offsets":[0,16]}})", four),
      "t has a bad shape");
}

}  // namespace
}  // namespace reformer
