#include "tests/ptx/runtime/fat_binary.h"

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>

#include "tests/ptx/runtime/decompress.h"

namespace reformer::ptx {
namespace {

constexpr uint32_t kMagic = 0xba55ed50;
constexpr size_t kEntryBytes = 64;
constexpr uint16_t kPtxKind = 1;
constexpr uint64_t kLz4Flag = 0x2000;
constexpr uint64_t kZstdFlag = 0x8000;

template <typename Value>
Value read(const std::byte* at) {
  Value value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// An entry: its fields, and the image after its header.
struct Entry {
  uint16_t kind;
  int arch;
  uint64_t flags;
  uint64_t full_size;  // of a compressed image, before that
  std::span<const std::byte> image;
  size_t bytes;  // header and image with its padding
};

Entry read_entry(std::span<const std::byte> rest) {
  if (rest.size() < kEntryBytes) throw std::runtime_error("fat binary: an entry is cut off");
  const std::byte* at = rest.data();
  const size_t header = read<uint32_t>(at + 4);
  const uint64_t padded = read<uint64_t>(at + 8);
  if (header < kEntryBytes || header > rest.size() || padded > rest.size() - header) {
    throw std::runtime_error("fat binary: an image is cut off");
  }
  Entry entry{.kind = read<uint16_t>(at),
              .arch = static_cast<int>(read<uint32_t>(at + 28)),
              .flags = read<uint64_t>(at + 40),
              .full_size = read<uint64_t>(at + 56),
              .image = rest.subspan(header, padded),
              .bytes = header + padded};
  if ((entry.flags & (kLz4Flag | kZstdFlag)) != 0) {
    const size_t packed = read<uint32_t>(at + 16);
    if (packed > padded) throw std::runtime_error("fat binary: an image is cut off");
    entry.image = entry.image.first(packed);
  }
  return entry;
}

std::string text_of(const Entry& entry) {
  std::string text;
  if ((entry.flags & kZstdFlag) != 0) {
    text = decompress_zstd(entry.image, entry.full_size);
  } else if ((entry.flags & kLz4Flag) != 0) {
    text = decompress_lz4(entry.image, entry.full_size);
  } else {
    text.assign(reinterpret_cast<const char*>(entry.image.data()), entry.image.size());
  }
  text.resize(std::strlen(text.c_str()));  // without the padding
  return text;
}

}  // namespace

PtxImage choose_ptx(const std::byte* fat_binary, int highest_arch) {
  if (read<uint32_t>(fat_binary) != kMagic) throw std::runtime_error("fat binary: unknown magic");
  const size_t header = read<uint16_t>(fat_binary + 6);
  std::span<const std::byte> rest(fat_binary + header, read<uint64_t>(fat_binary + 8));
  std::optional<Entry> best;
  std::string seen;
  while (!rest.empty()) {
    const Entry entry = read_entry(rest);
    const bool is_ptx = entry.kind == kPtxKind;
    seen += (is_ptx ? " compute_" : " sm_") + std::to_string(entry.arch);
    if (is_ptx && entry.arch <= highest_arch && (!best || entry.arch > best->arch)) best = entry;
    rest = rest.subspan(entry.bytes);
  }
  if (!best) {
    throw std::runtime_error("no PTX of at most compute_" + std::to_string(highest_arch) +
                             " in the program, only:" + (seen.empty() ? " nothing" : seen) +
                             "; build with -gencode arch=compute_80,code=compute_80");
  }
  return {text_of(*best), best->arch};
}

}  // namespace reformer::ptx
