// Checkpoints of sound disks and of disks that refuse: what is written is read back to the bit, old
// ones go and good ones stay, and a failed save leaves everything as it was.
#include "trainer/checkpoint/checkpoint.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "tests/trainer/checkpoint_testing.h"
#include "trainer/checkpoint/format.h"

namespace reformer {
namespace {

namespace fs = std::filesystem;
using namespace reformer::testing;
using Names = std::vector<std::string>;

TEST(Checkpoint, ReadsBackEveryBit) {
  const TemporaryDirectory directory;
  const std::string path = save(directory.path(), 12, large_tensors());
  EXPECT_EQ(path, directory.path() + "/step-00000012");
  expect_holds(path, large_tensors());

  const CheckpointReader reader(path);
  EXPECT_EQ(reader.path(), path);
  EXPECT_EQ(reader.manifest().step(), 12);
  EXPECT_EQ(reader.manifest().config(), "model { width: 8 }");
  EXPECT_EQ(reader.manifest().numeric_identity(), "test");
  EXPECT_EQ(names_in(path), (Names{"manifest", "tensors-00000.bin"}));
}

TEST(Checkpoint, HoldsNoTensors) {
  const TemporaryDirectory directory;
  const CheckpointReader reader(save(directory.path(), 0, {}));
  EXPECT_EQ(reader.manifest().tensors_size(), 0);
  reader.require_exactly({});
}

TEST(Checkpoint, ChecksumIsCastagnoli) {
  // The check value of CRC-32C in RFC 3720 and in every catalogue of CRCs.
  EXPECT_EQ(crc32c("123456789", 9), 0xE3069283u);
  EXPECT_EQ(crc32c("", 0), 0u);
}

TEST(Checkpoint, AreListedNewestFirst) {
  const TemporaryDirectory directory;
  for (int64_t step : {int64_t{99999999}, int64_t{7}, int64_t{100000000}, int64_t{12}}) {
    save(directory.path(), step, {});
  }
  // None of these is a checkpoint.
  fs::create_directory(directory.path() + "/.tmp-1");
  fs::create_directory(directory.path() + "/step-");
  fs::create_directory(directory.path() + "/step-00000500.old");
  write_file(directory.path() + "/step-00000600", "a file");
  EXPECT_EQ(list_checkpoints(directory.path()),
            (Names{directory.path() + "/step-100000000", directory.path() + "/step-99999999",
                   directory.path() + "/step-00000012", directory.path() + "/step-00000007"}));
}

TEST(Checkpoint, ListOfNoDirectoryIsEmpty) {
  const TemporaryDirectory directory;
  EXPECT_EQ(list_checkpoints(directory.path() + "/none"), Names{});
}

TEST(Checkpoint, UnreadableDirectoryIsNotAnEmptyOne) {
  // Taken for empty, it would start the training from scratch.
  const TemporaryDirectory directory;
  write_file(directory.path() + "/file", "");
  const std::string path = directory.path() + "/file";
  EXPECT_EQ(error_of([&] { list_checkpoints(path); }),
            "checkpoint: cannot read " + path + ": Not a directory");
}

TEST(Checkpoint, KeepsTheNewest) {
  const TemporaryDirectory directory;
  for (int64_t step = 1; step <= 5; ++step) save(directory.path(), step, small_tensors(), 2);
  EXPECT_EQ(names_in(directory.path()), (Names{"step-00000004", "step-00000005"}));
  save(directory.path(), 6, small_tensors(), 1);
  EXPECT_EQ(names_in(directory.path()), (Names{"step-00000006"}));
}

TEST(Checkpoint, KeepsTheOneJustWrittenBesideALaterOne) {
  // Step 10 was found damaged, so the training went on from step 5.
  const TemporaryDirectory directory;
  save(directory.path(), 5, small_tensors());
  write_file(save(directory.path(), 10, small_tensors()) + "/manifest", "damaged");
  save(directory.path(), 8, small_tensors(), 1);
  EXPECT_EQ(names_in(directory.path()), (Names{"step-00000008", "step-00000010"}));
  expect_holds(directory.path() + "/step-00000008", small_tensors());
}

TEST(Checkpoint, ReplacesOneOfTheSameStep) {
  const TemporaryDirectory directory;
  write_file(save(directory.path(), 5, small_tensors()) + "/manifest", "damaged");
  const std::string path = save(directory.path(), 5, large_tensors(), 1);
  expect_holds(path, large_tensors());
  EXPECT_EQ(names_in(directory.path()), (Names{"step-00000005"}));
}

TEST(Checkpoint, RemovesWhatDeadProcessesLeft) {
  const TemporaryDirectory directory;
  fs::create_directories(directory.path() + "/.tmp-123/inside");
  write_file(directory.path() + "/.tmp-123/tensors-00000.bin", "half");
  const CheckpointWriter writer(directory.path(), 0);
  EXPECT_FALSE(fs::exists(directory.path() + "/.tmp-123"));
}

TEST(Checkpoint, WithoutCommitLeavesNothing) {
  const TemporaryDirectory directory;
  save(directory.path(), 1, small_tensors());
  {
    CheckpointWriter writer(directory.path(), 0);
    writer.add("half", small_tensors()[0].tensor.view());
    EXPECT_EQ(names_in(directory.path()).size(), 2u);
    EXPECT_EQ(list_checkpoints(directory.path()).size(), 1u);
  }
  EXPECT_EQ(names_in(directory.path()), (Names{"step-00000001"}));
}

TEST(Checkpoint, ShapesAndNamesMustBeTheModels) {
  const TemporaryDirectory directory;
  const std::string path = save(directory.path(), 3, small_tensors());
  const CheckpointReader reader(path);
  const auto read = [&](const char* name, DType dtype, const Shape& shape) {
    return error_of([&] { reader.read(name, Tensor(dtype, shape).view()); });
  };
  const std::string prefix = "checkpoint " + path + ": ";
  EXPECT_EQ(read("weight", DType::kFloat32, {5, 3}),
            prefix + "tensor weight is float32 [3, 5], and this model's is float32 [5, 3]");
  EXPECT_EQ(read("weight", DType::kFloat32, {15}),
            prefix + "tensor weight is float32 [3, 5], and this model's is float32 [15]");
  EXPECT_EQ(read("weight", DType::kInt32, {3, 5}),
            prefix + "tensor weight is float32 [3, 5], and this model's is int32 [3, 5]");
  EXPECT_EQ(read("wait", DType::kFloat32, {3, 5}), prefix + "has no tensor wait");

  std::vector<std::string> names;
  for (const NamedTensor& tensor : small_tensors()) names.push_back(tensor.name);
  EXPECT_EQ(error_of([&] { reader.require_exactly(names); }), "");
  names.push_back("bias");
  EXPECT_EQ(error_of([&] { reader.require_exactly(names); }), prefix + "has no tensor bias");
  names.erase(names.begin(), names.begin() + 1);
  names.pop_back();
  EXPECT_EQ(error_of([&] { reader.require_exactly(names); }),
            prefix + "has a tensor weight that this model has not");
}

TEST(Checkpoint, MissingDirectoryIsNamed) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/none";
  EXPECT_EQ(error_of([&] { CheckpointWriter(path, 0); }),
            "checkpoint: cannot read " + path + ": No such file or directory");
}

TEST(Checkpoint, TooLittleSpaceIsFoundBeforeWriting) {
  const TemporaryDirectory directory;
  const std::string message =
      error_of([&] { CheckpointWriter(directory.path(), size_t{1} << 60); });
  expect_contains(message, "disk full: " + directory.path());
  expect_contains(message, "1152921504606846976 are needed");
  EXPECT_EQ(names_in(directory.path()), Names{});
}

/// Limits the size of files that this process writes, for a scope.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(Checkpoint, FailedWriteLeavesTheOlderOnes) {
  const TemporaryDirectory directory;
  save(directory.path(), 1, large_tensors());
  // The tensors stop in the middle of a block; then they fit and the manifest does not.
  for (const auto& [limit, tensors] : {std::pair{rlim_t{1500000}, large_tensors()},
                                       std::pair{rlim_t{40}, std::vector<NamedTensor>{}}}) {
    std::string message;
    {
      const FileSizeLimit in_scope(limit);
      message = error_of([&] { save(directory.path(), 2, tensors, 1); });
    }
    expect_contains(message, "checkpoint: cannot write " + directory.path());
    expect_contains(message, ": File too large");
    EXPECT_EQ(names_in(directory.path()), (Names{"step-00000001"}));
    expect_holds(directory.path() + "/step-00000001", large_tensors());
  }
}

/// A file system of its own, where this process may mount one.
class SmallDisk {
 public:
  explicit SmallDisk(const char* options)
      : mounted_(mount("checkpoint-test", path().c_str(), "tmpfs", 0, options) == 0) {}
  ~SmallDisk() {
    if (mounted_) umount(path().c_str());
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool mounted() const { return mounted_; }
  const std::string& path() const { return directory_.path(); }

 private:
  TemporaryDirectory directory_;
  bool mounted_;
};

TEST(Checkpoint, FullDiskLeavesTheOlderOnes) {
  const SmallDisk disk("size=4m");
  if (!disk.mounted()) GTEST_SKIP() << "this process may not mount a small disk";
  save(disk.path(), 1, large_tensors());
  // A second one of 2.4 MB does not fit into what is left of 4 MiB, and the preflight knows.
  const size_t bytes = large_tensors().back().tensor.view().bytes();
  expect_contains(error_of([&] { CheckpointWriter(disk.path(), bytes); }), "disk full");
  // When something else fills the disk meanwhile, the write finds out.
  expect_contains(error_of([&] { save(disk.path(), 2, large_tensors()); }),
                  ": No space left on device");
  EXPECT_EQ(names_in(disk.path()), (Names{"step-00000001"}));
  expect_holds(disk.path() + "/step-00000001", large_tensors());
}

TEST(Checkpoint, DiskWithoutInodesLeavesTheOlderOnes) {
  // The root, three for the checkpoint, and one for the directory of the next, which gets no file.
  const SmallDisk disk("size=4m,nr_inodes=5");
  if (!disk.mounted()) GTEST_SKIP() << "this process may not mount a small disk";
  save(disk.path(), 1, small_tensors());
  expect_contains(error_of([&] { CheckpointWriter(disk.path(), 0); }),
                  "/tensors-00000.bin: No space left on device");
  EXPECT_EQ(names_in(disk.path()), (Names{"step-00000001"}));
}

}  // namespace
}  // namespace reformer
