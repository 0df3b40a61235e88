#include "tests/ptx/runtime/fat_binary.h"

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

namespace reformer::ptx {
namespace {

using Bytes = std::vector<std::byte>;

constexpr uint16_t kPtx = 1;
constexpr uint16_t kMachineCode = 2;

template <typename Value>
void put(Bytes& bytes, size_t at, Value value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

struct Image {
  uint16_t kind = kPtx;
  uint32_t arch = 80;
  std::string text;
  uint64_t flags = 0;
  uint64_t full_size = 0;
};

Bytes entry(const Image& image) {
  constexpr size_t kHeader = 72;
  const size_t padded = (image.text.size() + 7) / 8 * 8;
  Bytes bytes(kHeader + padded);
  put(bytes, 0, image.kind);
  put(bytes, 4, static_cast<uint32_t>(kHeader));
  put(bytes, 8, static_cast<uint64_t>(padded));
  put(bytes, 16, static_cast<uint32_t>(image.text.size()));
  put(bytes, 28, image.arch);
  put(bytes, 40, image.flags);
  put(bytes, 56, image.full_size);
  std::memcpy(bytes.data() + kHeader, image.text.data(), image.text.size());
  return bytes;
}

Bytes fat_binary(const std::vector<Image>& images) {
  Bytes bytes(16);
  for (const Image& image : images) {
    const Bytes next = entry(image);
    bytes.insert(bytes.end(), next.begin(), next.end());
  }
  put(bytes, 0, uint32_t{0xba55ed50});
  put(bytes, 4, uint16_t{1});
  put(bytes, 6, uint16_t{16});
  put(bytes, 8, static_cast<uint64_t>(bytes.size() - 16));
  return bytes;
}

TEST(FatBinary, TakesTheHighestPtxBelowTheCap) {
  const Bytes bytes = fat_binary({{.arch = 80, .text = "ptx of 80"},
                                  {.kind = kMachineCode, .arch = 120, .text = "machine code"},
                                  {.arch = 90, .text = "ptx of 90"},
                                  {.arch = 70, .text = "ptx of 70"}});
  EXPECT_EQ(choose_ptx(bytes.data(), 1000).text, "ptx of 90");
  EXPECT_EQ(choose_ptx(bytes.data(), 90).arch, 90);
  EXPECT_EQ(choose_ptx(bytes.data(), 89).text, "ptx of 80");
  EXPECT_EQ(choose_ptx(bytes.data(), 75).arch, 70);
}

TEST(FatBinary, SaysWhatThereIsInstead) {
  const Bytes bytes =
      fat_binary({{.arch = 90, .text = "ptx"}, {.kind = kMachineCode, .text = "x"}});
  try {
    choose_ptx(bytes.data(), 80);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("only: compute_90 sm_80"), std::string::npos)
        << error.what();
  }
  EXPECT_THROW(choose_ptx(fat_binary({}).data(), 80), std::runtime_error);
}

TEST(FatBinary, Decompresses) {
  const Bytes bytes =
      fat_binary({{.text = std::string("\x50") + "hello", .flags = 0x2000, .full_size = 5}});
  EXPECT_EQ(choose_ptx(bytes.data(), 80).text, "hello");
}

TEST(FatBinary, RefusesWhatIsNotOne) {
  Bytes bytes = fat_binary({{.text = "ptx"}});
  put(bytes, 0, uint32_t{0});
  EXPECT_THROW(choose_ptx(bytes.data(), 80), std::runtime_error);
  bytes = fat_binary({{.text = "ptx"}});
  put(bytes, 16 + 8, uint64_t{1} << 40);
  EXPECT_THROW(choose_ptx(bytes.data(), 80), std::runtime_error);
}

}  // namespace
}  // namespace reformer::ptx
