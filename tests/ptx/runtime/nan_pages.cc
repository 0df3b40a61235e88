#include "tests/ptx/runtime/nan_pages.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

namespace reformer::ptx {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kLarge = size_t{1} << 20;
constexpr size_t kFileBytes = size_t{4} << 20;
constexpr int kNan = 0xff;

/// The whole pages in a range, and what is left before and after them.
struct Pages {
  Pages(void* from, size_t bytes) : begin(static_cast<std::byte*>(from)), end(begin + bytes) {
    const auto address = reinterpret_cast<uintptr_t>(from);
    const size_t before = (kPageBytes - address % kPageBytes) % kPageBytes;
    const size_t whole = bytes < before ? 0 : (bytes - before) / kPageBytes * kPageBytes;
    first = whole == 0 ? end : begin + before;
    last = first + whole;
  }

  void fill_the_rest(int value) const {
    std::memset(begin, value, static_cast<size_t>(first - begin));
    std::memset(last, value, static_cast<size_t>(end - last));
  }

  std::byte* begin;
  std::byte* end;
  std::byte* first;
  std::byte* last;
};

/// A file in memory, all NaN; −1 where there are no such files.
int nan_file() {
  static const int file = [] {
    const int made = memfd_create("nan", MFD_CLOEXEC);
    const std::vector<std::byte> content(kFileBytes, std::byte{kNan});
    if (made < 0 || write(made, content.data(), kFileBytes) != ssize_t{kFileBytes}) return -1;
    return made;
  }();
  return file;
}

bool map(std::byte* begin, size_t bytes, int flags, int file) {
  return mmap(begin, bytes, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | flags, file, 0) !=
         MAP_FAILED;
}

}  // namespace

void fill_with_nan(std::byte* begin, size_t bytes) {
  const Pages pages(begin, bytes);
  if (bytes < kLarge || nan_file() < 0) {
    std::memset(begin, kNan, bytes);
    return;
  }
  pages.fill_the_rest(kNan);
  for (std::byte* at = pages.first; at < pages.last; at += kFileBytes) {
    const size_t size = std::min(kFileBytes, static_cast<size_t>(pages.last - at));
    if (!map(at, size, MAP_NORESERVE, nan_file())) std::memset(at, kNan, size);
  }
}

void clear_pages(void* begin, size_t bytes) {
  const Pages pages(begin, bytes);
  pages.fill_the_rest(0);
  if (pages.first == pages.last) return;
  // One mapping again, not one for each piece of the file.
  const auto size = static_cast<size_t>(pages.last - pages.first);
  if (!map(pages.first, size, MAP_ANONYMOUS | MAP_NORESERVE, -1)) {
    std::memset(pages.first, 0, size);
  }
}

}  // namespace reformer::ptx
