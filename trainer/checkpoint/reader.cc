#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

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

/// Bytes of one element; 0 for a dtype that does not exist.
size_t element_bytes(const checkpoint::Tensor& tensor) {
  for (DType dtype : {DType::kFloat32, DType::kFloat64, DType::kFixed32, DType::kInt32,
                      DType::kInt64, DType::kUint8}) {
    if (tensor.dtype() == name_of(dtype)) return size_of(dtype);
  }
  return 0;
}

}  // namespace

CheckpointReader::CheckpointReader(const std::string& path) : path_(path) {
  read_manifest();
  std::vector<std::byte> block(kChecksumBlock);
  for (const checkpoint::Tensor& tensor : manifest_.tensors()) {
    require_complete(tensor);
    read_blocks(tensor, [&block](size_t) { return block.data(); });
  }
}

void CheckpointReader::read_manifest() {
  std::ifstream file = open(kManifestName);
  const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  ManifestHeader header{};
  uint32_t crc = 0;
  const auto require = [this](bool sound) {
    if (!sound) fail("the manifest is damaged");
  };
  require(bytes.size() >= sizeof(header) + sizeof(crc));
  std::memcpy(&header, bytes.data(), sizeof(header));
  require(std::memcmp(header.magic, kManifestMagic, sizeof(header.magic)) == 0);
  // All versions end in this checksum, so that a flipped bit does not pass for a newer version.
  const size_t covered = bytes.size() - sizeof(crc);
  std::memcpy(&crc, bytes.data() + covered, sizeof(crc));
  require(crc == crc32c(bytes.data(), covered));
  if (header.version > kCheckpointVersion) {
    throw NewerCheckpointError(
        fmt::format("checkpoint {}: has format version {}, newer than this "
                    "program's {}",
                    path_, header.version, kCheckpointVersion));
  }
  require(header.bytes == covered - sizeof(header));
  require(manifest_.ParseFromArray(bytes.data() + sizeof(header),
                                   static_cast<int>(covered - sizeof(header))));
}

void CheckpointReader::read(const std::string& name, const View& tensor) const {
  const checkpoint::Tensor* const record = find(name);
  if (record == nullptr) fail(fmt::format("has no tensor {}", name));
  if (shape_of(*record) != shape_of(tensor)) {
    fail(fmt::format("tensor {} is {}, and this model's is {}", name, shape_of(*record),
                     shape_of(tensor)));
  }
  auto* const begin = static_cast<std::byte*>(tensor.raw());
  read_blocks(*record, [begin](size_t offset) { return begin + offset; });
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

void CheckpointReader::require_complete(const checkpoint::Tensor& tensor) const {
  int64_t elements = 1;
  for (int64_t extent : tensor.shape()) elements *= extent;
  int64_t next = 0;
  bool complete = element_bytes(tensor) > 0;
  for (const checkpoint::Piece& piece : tensor.pieces()) {
    const size_t bytes = static_cast<size_t>(piece.elements()) * element_bytes(tensor);
    const size_t blocks = (bytes + kChecksumBlock - 1) / kChecksumBlock;
    complete = complete && piece.first_element() == next &&
               static_cast<size_t>(piece.crc32c_size()) == blocks;
    next += piece.elements();
  }
  if (!complete || next != elements) fail(fmt::format("tensor {} is not complete", tensor.name()));
}

void CheckpointReader::read_blocks(
    const checkpoint::Tensor& tensor,
    const std::function<std::byte*(size_t offset)>& destination) const {
  for (const checkpoint::Piece& piece : tensor.pieces()) {
    std::ifstream file = open(piece.file());
    file.seekg(piece.offset());
    size_t offset = static_cast<size_t>(piece.first_element()) * element_bytes(tensor);
    size_t left = static_cast<size_t>(piece.elements()) * element_bytes(tensor);
    for (uint32_t crc : piece.crc32c()) {
      const size_t bytes = std::min(left, kChecksumBlock);
      std::byte* const block = destination(offset);
      file.read(reinterpret_cast<char*>(block), static_cast<std::streamsize>(bytes));
      if (!file || crc32c(block, bytes) != crc) {
        fail(fmt::format("{} is damaged in tensor {}", piece.file(), tensor.name()));
      }
      offset += bytes;
      left -= bytes;
    }
  }
}

std::ifstream CheckpointReader::open(const std::string& name) const {
  std::ifstream file(path_ + "/" + name, std::ios::binary);
  if (!file) fail(fmt::format("{} cannot be opened: {}", name, std::strerror(errno)));
  return file;
}

void CheckpointReader::fail(const std::string& message) const {
  throw CheckpointError(fmt::format("checkpoint {}: {}", path_, message));
}

}  // namespace reformer
