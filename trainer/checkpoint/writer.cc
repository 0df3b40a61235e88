#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

#include <fmt/format.h>
#include <unistd.h>

#include "kernels/core/errors.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/format.h"

namespace reformer {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& action, const std::error_code& error) {
  throw CheckpointError(fmt::format("checkpoint: cannot {}: {}", action, error.message()));
}

std::vector<fs::path> entries_of(const std::string& directory) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    entries.push_back(entry->path());
  }
  if (error) fail(fmt::format("read {}", directory), error);
  return entries;
}

bool has_prefix(const fs::path& path, std::string_view prefix) {
  return path.filename().string().starts_with(prefix);
}

bool is_checkpoint(const fs::path& path) {
  if (!has_prefix(path, kStepPrefix)) return false;
  const std::string step = path.filename().string().substr(std::strlen(kStepPrefix));
  std::error_code ignored;
  return !step.empty() && step.find_first_not_of("0123456789") == std::string::npos &&
         fs::is_directory(path, ignored);
}

void require_space(const std::string& directory, size_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(directory, error);
  if (error) fail(fmt::format("use {}", directory), error);
  if (space.available < bytes) {
    throw CheckpointError(
        fmt::format("checkpoint: disk full: {} has {} bytes free and {} are needed", directory,
                    space.available, bytes));
  }
}

void rename_directory(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) fail(fmt::format("rename {} to {}", from, to), error);
}

void remove_tree(const fs::path& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

void write_manifest(const std::string& path, const checkpoint::Manifest& manifest) {
  const std::string bytes = manifest.SerializeAsString();
  ManifestHeader header{};
  std::memcpy(header.magic, kManifestMagic, sizeof(header.magic));
  header.version = kCheckpointVersion;
  header.bytes = bytes.size();
  std::string content(reinterpret_cast<const char*>(&header), sizeof(header));
  content += bytes;
  const uint32_t crc = crc32c(content.data(), content.size());
  content.append(reinterpret_cast<const char*>(&crc), sizeof(crc));
  DurableFile file(path);
  file.write(content.data(), content.size());
  file.close();
}

}  // namespace

CheckpointWriter::CheckpointWriter(const std::string& directory, size_t expected_bytes)
    : directory_(directory),
      temporary_(fmt::format("{}/{}{}", directory, kTemporaryPrefix, getpid())) {
  for (const fs::path& entry : entries_of(directory_)) {
    if (has_prefix(entry, kTemporaryPrefix)) remove_tree(entry);
  }
  require_space(directory_, expected_bytes);
  std::error_code error;
  fs::create_directory(temporary_, error);
  if (error) fail(fmt::format("create {}", temporary_), error);
  try {
    tensors_ = std::make_unique<DurableFile>(temporary_ + "/" + kTensorFileName);
  } catch (const CheckpointError&) {
    remove_tree(temporary_);
    throw;
  }
}

CheckpointWriter::~CheckpointWriter() {
  if (committed_) return;
  tensors_.reset();
  remove_tree(temporary_);
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
  take_name(path);
  committed_ = true;
  sync_directory(directory_);
  remove_old(path, keep);
  return path;
}

void CheckpointWriter::take_name(const std::string& path) const {
  // Only a checkpoint that was passed over can be in the way, but it keeps its name until this one
  // can have it.
  const std::string replaced = temporary_ + "-replaced";
  std::error_code error;
  const bool replaces = fs::exists(path, error);
  if (replaces) rename_directory(path, replaced);
  try {
    rename_directory(temporary_, path);
  } catch (const CheckpointError&) {
    if (replaces) fs::rename(replaced, path, error);
    throw;
  }
  if (replaces) remove_tree(replaced);
}

void CheckpointWriter::remove_old(const std::string& newest, int64_t keep) const {
  const std::vector<std::string> paths = list_checkpoints(directory_);
  const auto first = std::find_if(paths.begin(), paths.end(), [&](const std::string& path) {
    return fs::path(path).filename() == fs::path(newest).filename();
  });
  const std::string removed = temporary_ + "-removed";
  for (auto path = first; path != paths.end(); ++path) {
    if (path - first < keep) continue;
    // Under its own name it would be taken for complete if the removal were cut short.
    std::error_code ignored;
    fs::rename(*path, removed, ignored);
    remove_tree(removed);
  }
}

std::vector<std::string> list_checkpoints(const std::string& directory) {
  std::error_code error;
  if (!fs::exists(directory, error) && !error) return {};
  std::vector<std::string> paths;
  for (const fs::path& entry : entries_of(directory)) {
    if (is_checkpoint(entry)) paths.push_back(entry.string());
  }
  // Steps have leading zeros; longer names are of later steps.
  std::sort(paths.begin(), paths.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a > b;
  });
  return paths;
}

}  // namespace reformer
