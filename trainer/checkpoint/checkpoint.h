// Checkpoints: written aside, committed by one rename, verified before use.
//
//   checkpoints/step-00000500/manifest        magic, version, length, Manifest, CRC32C
//                             tensors-00000.bin  the elements, one tensor after the other
//
// A directory named step-… is complete: everything in it was on the disk before it got the name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/core/errors.h"
#include "kernels/core/view.h"
#include "trainer/checkpoint/durable_file.h"
#include "trainer/checkpoint/manifest.pb.h"

namespace reformer {

inline constexpr uint32_t kCheckpointVersion = 1;

/// A sound checkpoint of a later program: never to be passed over in favour of an older one, which
/// training would then overwrite it from.
class NewerCheckpointError : public CheckpointError {
 public:
  using CheckpointError::CheckpointError;
};

/// Writes one checkpoint. Throws CheckpointError; whatever happens before commit() returns leaves
/// the older checkpoints as they were, and the destructor removes what was written.
class CheckpointWriter {
 public:
  /// Begins in a temporary directory inside `directory`, which must exist, and removes those that
  /// earlier processes left behind. `expected_bytes` must be free on the disk.
  CheckpointWriter(const std::string& directory, size_t expected_bytes);
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Appends a whole tensor from host memory.
  void add(const std::string& name, const View& tensor);

  /// Makes it the checkpoint of manifest.step(); `manifest` needs no tensors. Replaces one of the
  /// same step. Then deletes all but the newest `keep` of the checkpoints up to this step; later
  /// ones, passed over when the run went on from an older one, are left alone. Returns the path.
  std::string commit(checkpoint::Manifest manifest, int64_t keep);

 private:
  void take_name(const std::string& path) const;
  void remove_old(const std::string& newest, int64_t keep) const;

  std::string directory_;
  std::string temporary_;
  std::unique_ptr<DurableFile> tensors_;
  checkpoint::Manifest written_;
  bool committed_ = false;
};

/// Paths of the complete checkpoints in `directory`, newest first. None if it does not exist;
/// throws CheckpointError if it cannot be read.
std::vector<std::string> list_checkpoints(const std::string& directory);

/// A checkpoint of which every byte has been verified.
class CheckpointReader {
 public:
  /// Throws CheckpointError when anything is missing or damaged, NewerCheckpointError when it has a
  /// version above kCheckpointVersion.
  explicit CheckpointReader(const std::string& path);

  const std::string& path() const { return path_; }
  const checkpoint::Manifest& manifest() const { return manifest_; }

  /// Reads a tensor into host memory, and verifies it there once more. Throws CheckpointError when
  /// there is none of this name, or it has another shape or dtype.
  void read(const std::string& name, const View& tensor) const;

  /// Throws CheckpointError when the checkpoint holds other tensors than `names`.
  void require_exactly(const std::vector<std::string>& names) const;

 private:
  void read_manifest();
  void require_complete(const checkpoint::Tensor& tensor) const;
  /// Reads a tensor block by block to where `destination` says, at most kChecksumBlock bytes from
  /// its byte `offset` on, and verifies what is there then.
  void read_blocks(const checkpoint::Tensor& tensor,
                   const std::function<std::byte*(size_t offset)>& destination) const;
  const checkpoint::Tensor* find(const std::string& name) const;
  std::ifstream open(const std::string& name) const;
  [[noreturn]] void fail(const std::string& message) const;

  std::string path_;
  checkpoint::Manifest manifest_;
};

}  // namespace reformer
