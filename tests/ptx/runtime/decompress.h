// The compressions that nvcc uses for the images in a fat binary. Both throw std::runtime_error
// when the data are damaged or do not fill `size` bytes.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace reformer::ptx {

/// LZ4's block format.
std::string decompress_lz4(std::span<const std::byte> packed, size_t size);

/// A Zstandard frame, by libzstd.so.1, which is looked for when it is needed.
std::string decompress_zstd(std::span<const std::byte> packed, size_t size);

}  // namespace reformer::ptx
