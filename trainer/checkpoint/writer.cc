#include <algorithm>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>
#include <unistd.h>

#include "kernels/core/errors.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/format.h"

namespace reformer {
namespace {

namespace fs = std::filesystem;

void require_space(const std::string& directory, size_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(directory, error);
  if (error) {
    throw CheckpointError(fmt::format("checkpoint: cannot use {}: {}", directory, error.message()));
  }
  if (space.available < bytes) {
    throw CheckpointError(
        fmt::format("checkpoint: disk full: {} has {} bytes free and {} are needed", directory,
                    space.available, bytes));
  }
}

void remove_temporary_directories(const std::string& directory) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, ignored)) {
    if (entry.path().filename().string().rfind(kTemporaryPrefix, 0) == 0) {
      fs::remove_all(entry.path(), ignored);
    }
  }
}

void write_manifest(const std::string& path, const checkpoint::Manifest& manifest) {
  const std::string bytes = manifest.SerializeAsString();
  ManifestHeader header{};
  std::memcpy(header.magic, kManifestMagic, sizeof(header.magic));
  header.version = kCheckpointVersion;
  header.bytes = bytes.size();
  const uint32_t crc = crc32c(bytes.data(), bytes.size());
  DurableFile file(path);
  file.write(&header, sizeof(header));
  file.write(bytes.data(), bytes.size());
  file.write(&crc, sizeof(crc));
  file.close();
}

}  // namespace

CheckpointWriter::CheckpointWriter(const std::string& directory, size_t expected_bytes)
    : directory_(directory) {
  remove_temporary_directories(directory_);
  require_space(directory_, expected_bytes);
  temporary_ = fmt::format("{}/{}{}", directory_, kTemporaryPrefix, getpid());
  std::error_code error;
  fs::create_directory(temporary_, error);
  if (error) {
    throw CheckpointError(
        fmt::format("checkpoint: cannot create {}: {}", temporary_, error.message()));
  }
  tensors_ = std::make_unique<DurableFile>(temporary_ + "/" + kTensorFileName);
}

CheckpointWriter::~CheckpointWriter() {
  if (committed_) return;
  tensors_.reset();
  std::error_code ignored;
  fs::remove_all(temporary_, ignored);
}

void CheckpointWriter::add(const std::string& name, const View& tensor) {
  checkpoint::Tensor& record = *written_.add_tensors();
  record.set_name(name);
  record.set_dtype(name_of(tensor.dtype()));
  for (int i = 0; i < tensor.shape().rank(); ++i) record.add_shape(tensor.shape()[i]);
  checkpoint::Piece& piece = *record.add_pieces();
  piece.set_first_element(0);
  piece.set_elements(tensor.elements());
  piece.set_file(kTensorFileName);
  piece.set_offset(tensors_->size());
  const auto* const bytes = static_cast<const std::byte*>(tensor.raw());
  for (size_t begin = 0; begin < tensor.bytes(); begin += kChecksumBlock) {
    const size_t size = std::min(kChecksumBlock, tensor.bytes() - begin);
    // From memory, before the write: what the disk makes of it is found at loading.
    piece.add_crc32c(crc32c(bytes + begin, size));
    tensors_->write(bytes + begin, size);
  }
}

std::string CheckpointWriter::commit(checkpoint::Manifest manifest, int64_t keep) {
  tensors_->close();
  *manifest.mutable_tensors() = written_.tensors();
  write_manifest(temporary_ + "/" + kManifestName, manifest);
  sync_directory(temporary_);

  const std::string path = fmt::format("{}/{}{:08d}", directory_, kStepPrefix, manifest.step());
  std::error_code error;
  // Only a checkpoint that was passed over as damaged can be in the way.
  fs::remove_all(path, error);
  fs::rename(temporary_, path, error);
  if (error) {
    throw CheckpointError(
        fmt::format("checkpoint: cannot rename {} to {}: {}", temporary_, path, error.message()));
  }
  committed_ = true;
  sync_directory(directory_);

  const std::vector<std::string> paths = list_checkpoints(directory_);
  for (size_t i = static_cast<size_t>(keep); i < paths.size(); ++i) {
    fs::remove_all(paths[i], error);
  }
  return path;
}

std::vector<std::string> list_checkpoints(const std::string& directory) {
  std::vector<std::string> paths;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory, ignored)) {
    if (entry.path().filename().string().rfind(kStepPrefix, 0) == 0) {
      paths.push_back(entry.path().string());
    }
  }
  // Steps have leading zeros; longer names are of later steps.
  std::sort(paths.begin(), paths.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a > b;
  });
  return paths;
}

}  // namespace reformer
