// Archives that torch.save would not write. What it does write is read in torch_file_test.
#include "trainer/weights/torch_container.h"

#include <map>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/zip_testing.h"

namespace reformer {
namespace {

using testing::expect_contains;

const std::string kEmptyDictionary = "\x80\x02}.";

class TorchContainerTest : public ::testing::Test {
 protected:
  std::string archive_of(const std::map<std::string, std::string>& entries) {
    return testing::write_archive(directory_.path() + "/archive.bin", entries);
  }

  static std::string refusal(const std::string& path, const TorchStorage& storage) {
    try {
      const std::unique_ptr<TorchContainer> container = open_torch_container(path);
      container->locate({storage});
      const std::span<const uint8_t> bytes = container->read(storage.key);
      return std::string(bytes.begin(), bytes.end());
    } catch (const DataError& error) {
      return error.what();
    }
  }

  static std::string refusal(const std::string& path) {
    return refusal(path, {.key = "0", .bytes = 4, .element_bytes = 4});
  }

  testing::TemporaryDirectory directory_;
};

TEST_F(TorchContainerTest, AnArchiveGivesItsStorages) {
  EXPECT_EQ(refusal(archive_of({{"x/data.pkl", kEmptyDictionary}, {"x/data/0", "abcd"}})), "abcd");
  EXPECT_EQ(
      refusal(archive_of(
          {{"x/byteorder", "little"}, {"x/data.pkl", kEmptyDictionary}, {"x/data/0", "abcd"}})),
      "abcd");
}

TEST_F(TorchContainerTest, WhatIsMissingIsNamed) {
  expect_contains(refusal(archive_of({{"data.pkl", kEmptyDictionary}})), "without data.pkl");
  expect_contains(refusal(archive_of({{"x/y/data.pkl", kEmptyDictionary}})), "without data.pkl");
  expect_contains(refusal(archive_of({{"x/data.pkl", kEmptyDictionary}})),
                  "entry x/data/0: No such file");
  expect_contains(refusal(archive_of({{"x/data.pkl", kEmptyDictionary}, {"x/data/0", "abc"}})),
                  "entry x/data/0 has 3 bytes, and its storage takes 4");
}

TEST_F(TorchContainerTest, TheOtherOrderOfBytesIsRefused) {
  expect_contains(refusal(archive_of({{"x/byteorder", "big"}, {"x/data.pkl", kEmptyDictionary}})),
                  "is not little-endian");
}

TEST_F(TorchContainerTest, TheOldFormMustHaveItsStorages) {
  expect_contains(refusal("tests/torch/old.bin"), "belongs to no tensor");
  const std::string bytes = testing::read_file("tests/torch/old.bin");
  const std::string path = directory_.path() + "/old.bin";
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string copy = bytes;
    CHECK(copy.find(from) != std::string::npos);
    testing::write_file(path, copy.replace(copy.find(from), from.size(), to));
    return refusal(path);
  };
  expect_contains(changed("M\xe9\x03", "M\xea\x03"), "is not of version 1001");
  expect_contains(changed("little_endian", "little_indian"), "is not little-endian");
}

}  // namespace
}  // namespace reformer
