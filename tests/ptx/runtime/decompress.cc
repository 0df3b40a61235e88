#include "tests/ptx/runtime/decompress.h"

#include <cstdint>
#include <stdexcept>

#include <dlfcn.h>

namespace reformer::ptx {
namespace {

/// Reads bytes one after the other and throws past the end.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  bool at_end() const { return at_ == bytes_.size(); }

  size_t byte() { return std::to_integer<size_t>(take(1)[0]); }

  std::span<const std::byte> take(size_t count) {
    if (count > bytes_.size() - at_) throw std::runtime_error("LZ4: the data end too early");
    at_ += count;
    return bytes_.subspan(at_ - count, count);
  }

  /// A length whose first four bits are `nibble`: 15 is continued by bytes, 255 by more of them.
  size_t length(size_t nibble) {
    size_t length = nibble;
    for (size_t more = nibble == 15 ? 255 : 0; more == 255;) length += more = byte();
    return length;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
};

using ZstdDecompress = size_t (*)(void*, size_t, const void*, size_t);

ZstdDecompress load_zstd() {
  void* library = dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL);
  void* function = library == nullptr ? nullptr : dlsym(library, "ZSTD_decompress");
  if (function == nullptr) {
    throw std::runtime_error(
        "the PTX is compressed and libzstd.so.1 cannot be loaded; install it or build with "
        "--compress-mode=none");
  }
  return reinterpret_cast<ZstdDecompress>(function);
}

}  // namespace

std::string decompress_lz4(std::span<const std::byte> packed, size_t size) {
  constexpr size_t kShortestMatch = 4;
  std::string text;
  text.reserve(size);
  Reader reader(packed);
  while (!reader.at_end()) {
    const size_t token = reader.byte();
    const std::span<const std::byte> literals = reader.take(reader.length(token >> 4));
    text.append(reinterpret_cast<const char*>(literals.data()), literals.size());
    if (reader.at_end() || text.size() >= size) break;  // the last sequence has no match
    const size_t low = reader.byte();
    const size_t offset = low | reader.byte() << 8;
    const size_t length = reader.length(token & 15) + kShortestMatch;
    if (offset == 0 || offset > text.size() || length > size - text.size()) {
      throw std::runtime_error("LZ4: a match lies outside the text");
    }
    // Byte by byte, since a match may overlap what it appends.
    for (size_t i = 0; i < length; ++i) text.push_back(text[text.size() - offset]);
  }
  if (text.size() != size) throw std::runtime_error("LZ4: the text has another size");
  return text;
}

std::string decompress_zstd(std::span<const std::byte> packed, size_t size) {
  static const ZstdDecompress decompress = load_zstd();
  std::string text(size, '\0');
  if (decompress(text.data(), size, packed.data(), packed.size()) != size) {
    throw std::runtime_error("Zstandard: damaged data");
  }
  return text;
}

}  // namespace reformer::ptx
