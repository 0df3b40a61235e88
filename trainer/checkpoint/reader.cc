#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/format.h"

namespace reformer {
namespace {

std::string shape_of(const checkpoint::Tensor& tensor) {
  return fmt::format("{} [{}]", tensor.dtype(), fmt::join(tensor.shape(), ", "));
}

std::string shape_of(const View& tensor) {
  std::string extents;
  for (int i = 0; i < tensor.shape().rank(); ++i) {
    extents += fmt::format("{}{}", i == 0 ? "" : ", ", tensor.shape()[i]);
  }
  return fmt::format("{} [{}]", name_of(tensor.dtype()), extents);
}

/// Bytes of the elements of a piece; 0 for a dtype that does not exist.
size_t bytes_of(const checkpoint::Tensor& tensor, const checkpoint::Piece& piece) {
  for (DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFixed32, DType::kInt32,
                      DType::kInt64, DType::kUint8}) {
    if (tensor.dtype() == name_of(dtype)) {
      return static_cast<size_t>(piece.elements()) * size_of(dtype);
    }
  }
  return 0;
}

}  // namespace

CheckpointReader::CheckpointReader(const std::string& path) : path_(path) {
  std::ifstream file(path_ + "/" + kManifestName, std::ios::binary);
  if (!file) fail("has no manifest");
  ManifestHeader header{};
  file.read(reinterpret_cast<char*>(&header), sizeof(header));
  if (!file || std::memcmp(header.magic, kManifestMagic, sizeof(header.magic)) != 0) {
    fail("the manifest is damaged");
  }
  if (header.version > kCheckpointVersion) {
    fail(fmt::format("has format version {}, newer than this program's {}", header.version,
                     kCheckpointVersion));
  }
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path_ + "/" + kManifestName, error);
  uint32_t crc = 0;
  if (error || header.bytes != size - sizeof(header) - sizeof(crc)) {
    fail("the manifest is damaged");
  }
  std::string bytes(header.bytes, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.read(reinterpret_cast<char*>(&crc), sizeof(crc));
  if (!file || crc != crc32c(bytes.data(), bytes.size()) || !manifest_.ParseFromString(bytes)) {
    fail("the manifest is damaged");
  }
  for (const checkpoint::Tensor& tensor : manifest_.tensors()) verify_tensor(tensor);
}

void CheckpointReader::read(const std::string& name, const View& tensor) const {
  const checkpoint::Tensor* const record = find(name);
  if (record == nullptr) fail(fmt::format("has no tensor {}", name));
  if (shape_of(*record) != shape_of(tensor)) {
    fail(fmt::format("tensor {} is {}, and this model's is {}", name, shape_of(*record),
                     shape_of(tensor)));
  }
  for (const checkpoint::Piece& piece : record->pieces()) {
    std::ifstream file(path_ + "/" + piece.file(), std::ios::binary);
    file.seekg(piece.offset());
    const View part = tensor.reshape({tensor.elements()})
                          .rows(piece.first_element(), piece.first_element() + piece.elements());
    file.read(static_cast<char*>(part.raw()), static_cast<std::streamsize>(part.bytes()));
    if (!file) fail(fmt::format("{} cannot be read", piece.file()));
  }
}

void CheckpointReader::require_exactly(const std::vector<std::string>& names) const {
  for (const checkpoint::Tensor& tensor : manifest_.tensors()) {
    if (std::find(names.begin(), names.end(), tensor.name()) == names.end()) {
      fail(fmt::format("has a tensor {} that this model has not", tensor.name()));
    }
  }
  for (const std::string& name : names) {
    if (find(name) == nullptr) fail(fmt::format("has no tensor {}", name));
  }
}

const checkpoint::Tensor* CheckpointReader::find(const std::string& name) const {
  for (const checkpoint::Tensor& tensor : manifest_.tensors()) {
    if (tensor.name() == name) return &tensor;
  }
  return nullptr;
}

void CheckpointReader::verify_tensor(const checkpoint::Tensor& tensor) const {
  std::vector<char> block(kChecksumBlock);
  int64_t elements = 1;
  for (int64_t extent : tensor.shape()) elements *= extent;
  int64_t next_element = 0;
  for (const checkpoint::Piece& piece : tensor.pieces()) {
    if (piece.first_element() != next_element) break;
    next_element += piece.elements();
    std::ifstream file(path_ + "/" + piece.file(), std::ios::binary);
    file.seekg(piece.offset());
    size_t left = bytes_of(tensor, piece);
    for (uint32_t expected : piece.crc32c()) {
      const size_t size = std::min(left, kChecksumBlock);
      file.read(block.data(), static_cast<std::streamsize>(size));
      if (!file || crc32c(block.data(), size) != expected) {
        fail(fmt::format("{} is damaged in tensor {}", piece.file(), tensor.name()));
      }
      left -= size;
    }
    if (left != 0) fail(fmt::format("tensor {} is not covered by checksums", tensor.name()));
  }
  if (next_element != elements) fail(fmt::format("tensor {} is not complete", tensor.name()));
}

void CheckpointReader::fail(const std::string& message) const {
  throw CheckpointError(fmt::format("checkpoint {}: {}", path_, message));
}

}  // namespace reformer
