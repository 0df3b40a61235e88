// Damaged checkpoints are recognised: any flipped bit, any missing byte, any missing file.
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/trainer/checkpoint_testing.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/format.h"
#include "trainer/saved_state.h"

namespace reformer {
namespace {

namespace fs = std::filesystem;
using namespace reformer::testing;

class CheckpointDamage : public ::testing::Test {
 protected:
  void save_tensors(const std::vector<NamedTensor>& tensors) {
    path_ = save(directory_.path(), 1, tensors);
    manifest_ = path_ + "/" + kManifestName;
    tensors_ = path_ + "/" + kTensorFileName;
  }

  /// Why the checkpoint is refused; empty if it is not.
  std::string refusal() const {
    return error_of([&] { CheckpointReader reader(path_); });
  }

  const TemporaryDirectory directory_;
  std::string path_;
  std::string manifest_;
  std::string tensors_;
};

TEST_F(CheckpointDamage, EveryBitOfTheManifestCounts) {
  save_tensors(small_tensors());
  ASSERT_EQ(refusal(), "");
  for (size_t bit = 0; bit < fs::file_size(manifest_) * 8; ++bit) {
    flip_bit(manifest_, bit);
    SCOPED_TRACE("bit " + std::to_string(bit));
    expect_contains(refusal(), "checkpoint " + path_ + ": ");
    flip_bit(manifest_, bit);
  }
  ASSERT_EQ(refusal(), "");
}

TEST_F(CheckpointDamage, EveryBitOfSmallTensorsCounts) {
  save_tensors(small_tensors());
  for (size_t bit = 0; bit < fs::file_size(tensors_) * 8; ++bit) {
    flip_bit(tensors_, bit);
    SCOPED_TRACE("bit " + std::to_string(bit));
    expect_contains(refusal(), "tensors-00000.bin is damaged in tensor ");
    flip_bit(tensors_, bit);
  }
  ASSERT_EQ(refusal(), "");
}

TEST_F(CheckpointDamage, EveryBlockCounts) {
  save_tensors(large_tensors());
  const size_t size = fs::file_size(tensors_);
  const size_t begin = size - large_tensors().back().tensor.view().bytes();
  ASSERT_GT(size - begin, 2 * kChecksumBlock);
  for (const size_t byte : {begin, begin + kChecksumBlock - 1, begin + kChecksumBlock,
                            begin + 2 * kChecksumBlock - 1, begin + 2 * kChecksumBlock, size - 1}) {
    flip_bit(tensors_, byte * 8 + 3);
    SCOPED_TRACE("byte " + std::to_string(byte));
    expect_contains(refusal(), "tensors-00000.bin is damaged in tensor table");
    flip_bit(tensors_, byte * 8 + 3);
  }
  ASSERT_EQ(refusal(), "");
}

TEST_F(CheckpointDamage, EveryTruncationCounts) {
  save_tensors(small_tensors());
  for (const std::string& file : {manifest_, tensors_}) {
    const std::string whole = read_file(file);
    for (size_t size = 0; size < whole.size(); ++size) {
      write_file(file, whole.substr(0, size));
      EXPECT_NE(refusal(), "") << file << " of " << size << " bytes";
    }
    write_file(file, whole);
    ASSERT_EQ(refusal(), "");
  }
}

TEST_F(CheckpointDamage, ManifestIsAllThereIsInItsFile) {
  save_tensors(small_tensors());
  write_file(manifest_, read_file(manifest_) + '\0');
  expect_contains(refusal(), "the manifest is damaged");
}

TEST_F(CheckpointDamage, MissingFilesCount) {
  save_tensors(small_tensors());
  fs::rename(tensors_, tensors_ + ".away");
  expect_contains(refusal(), "tensors-00000.bin");
  expect_contains(refusal(), "No such file");
  fs::rename(tensors_ + ".away", tensors_);
  fs::remove(manifest_);
  expect_contains(refusal(), "manifest");
  expect_contains(refusal(), "No such file");
}

TEST_F(CheckpointDamage, IsFoundAfterTheVerificationToo) {
  save_tensors(large_tensors());
  const CheckpointReader reader(path_);
  flip_bit(tensors_, (fs::file_size(tensors_) - 1) * 8);
  const Tensor into(DType::kFloat32, {1000, 600});
  expect_contains(error_of([&] { reader.read("table", into.view()); }),
                  "tensors-00000.bin is damaged in tensor table");
}

TEST_F(CheckpointDamage, NewerVersionsAreRefusedByName) {
  save_tensors(small_tensors());
  std::string bytes = read_file(manifest_);
  bytes[offsetof(ManifestHeader, version)] = 2;
  // What follows may be anything, but for the checksum at the end.
  bytes = bytes.substr(0, sizeof(ManifestHeader)) + "of another kind";
  const uint32_t crc = crc32c(bytes.data(), bytes.size());
  bytes.append(reinterpret_cast<const char*>(&crc), sizeof(crc));
  write_file(manifest_, bytes);
  EXPECT_THROW(CheckpointReader{path_}, NewerCheckpointError);
  EXPECT_EQ(refusal(),
            "checkpoint " + path_ + ": has format version 2, newer than this program's 1");
}

TEST_F(CheckpointDamage, OlderCheckpointIsOpenedInstead) {
  const std::string oldest = save(directory_.path(), 10, small_tensors());
  const std::string middle = save(directory_.path(), 20, small_tensors());
  const std::string newest = save(directory_.path(), 30, small_tensors());
  std::vector<std::string> said;
  const auto open = [&] {
    said.clear();
    return open_newest(directory_.path(), [&](const std::string& text) { said.push_back(text); });
  };
  EXPECT_EQ(open()->path(), newest);
  EXPECT_EQ(said.size(), 0u);

  flip_bit(newest + "/tensors-00000.bin", 5);
  EXPECT_EQ(open()->path(), middle);
  ASSERT_EQ(said.size(), 1u);
  expect_contains(said[0], newest + ": tensors-00000.bin is damaged in tensor ");

  fs::remove(middle + "/manifest");
  EXPECT_EQ(open()->path(), oldest);
  ASSERT_EQ(said.size(), 2u);
  expect_contains(said[0], newest);
  expect_contains(said[1], middle);

  // With nothing sound left it does not start from scratch in silence.
  fs::remove(oldest + "/tensors-00000.bin");
  expect_contains(error_of([&] { open(); }), "none of the 3 in " + directory_.path());
  EXPECT_EQ(said.size(), 3u);
}

TEST_F(CheckpointDamage, NoCheckpointIsNoError) {
  EXPECT_FALSE(open_newest(directory_.path(), [](const std::string&) { FAIL(); }));
}

}  // namespace
}  // namespace reformer
