// What writer and reader of a checkpoint agree on; README.md has the whole format.
#pragma once

#include <cstddef>
#include <cstdint>

namespace reformer {

inline constexpr char kManifestName[] = "manifest";
inline constexpr char kTensorFileName[] = "tensors-00000.bin";
inline constexpr char kTemporaryPrefix[] = ".tmp-";
inline constexpr char kStepPrefix[] = "step-";

/// Bytes of one checksum.
inline constexpr size_t kChecksumBlock = size_t{1} << 20;

/// Precedes the Manifest, which has `bytes` bytes; the CRC32C of both follows. Little-endian. In
/// every version magic and version keep their places, and the file ends in the CRC32C of all
/// before: it vouches for the version, which decides how the rest is read.
struct ManifestHeader {
  char magic[8];  // kManifestMagic
  uint32_t version;
  uint32_t reserved;
  uint64_t bytes;
};
static_assert(sizeof(ManifestHeader) == 24);

inline constexpr char kManifestMagic[8] = {'R', 'E', 'F', 'O', 'R', 'M', 'E', 'R'};

}  // namespace reformer
