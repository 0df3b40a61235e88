// mma and ldmatrix against plain products, with fragments filled by the layouts that the PTX ISA
// draws.
#include <cmath>
#include <random>

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::Device;
using testing::kHeader;

constexpr int kM = 16;
constexpr int kN = 8;

// How one element type lies in registers, and what it is worth.
struct Element {
  std::string type;
  int bits;
  std::function<u64(int)> encode;  // a small whole number
};

u64 encode_half(int v) {
  return to_half(v);
}
u64 encode_bfloat(int v) {
  return to_bfloat(v);
}
u64 encode_float(int v) {
  return bits_of(static_cast<float>(v));
}
u64 encode_byte(int v) {
  return static_cast<u8>(v);
}

std::string registers(const std::string& name, int count) {
  std::string list = "{";
  for (int i = 0; i < count; ++i) list += (i > 0 ? ", %" : "%") + name + std::to_string(i);
  return list + "}";
}

// A kernel in which each lane loads its registers of A, B and C and stores those of D.
std::string kernel(const std::string& instruction, int a, int b, int c, int d) {
  std::string text = std::string(kHeader) + R"(
.visible .entry k(.param .u64 a, .param .u64 b, .param .u64 c, .param .u64 d)
{
  .reg .b32 %a<4>, %b<4>, %c<4>, %d<4>, %t;
  .reg .b64 %p<5>;
  mov.u32 %t, %tid.x;
)";
  const auto load = [&](const std::string& name, const std::string& pointer, int count) {
    text += "  ld.param.u64 %p0, [" + name + "];\n  mad.wide.u32 " + pointer + ", %t, " +
            std::to_string(4 * count) + ", %p0;\n";
  };
  const auto each = [&](const std::string& name, const std::string& pointer, int count) {
    load(name, pointer, count);
    for (int i = 0; i < count; ++i) {
      const std::string n = std::to_string(i), at = std::to_string(4 * i);
      text += "  ld.global.u32 %" + name + n + ", [" + pointer + "+" + at + "];\n";
    }
  };
  each("a", "%p1", a);
  each("b", "%p2", b);
  each("c", "%p3", c);
  text += "  " + instruction + " " + registers("d", d) + ", " + registers("a", a) + ", " +
          registers("b", b) + ", " + registers("c", c) + ";\n";
  load("d", "%p4", d);
  for (int i = 0; i < d; ++i) {
    text += "  st.global.u32 [%p4+" + std::to_string(4 * i) + "], %d" + std::to_string(i) + ";\n";
  }
  return text + "  ret;\n}\n";
}

using Matrix = std::vector<std::vector<int>>;

Matrix random_matrix(int rows, int columns, int least, int most, std::mt19937& random) {
  Matrix matrix(static_cast<std::size_t>(rows),
                std::vector<int>(static_cast<std::size_t>(columns)));
  std::uniform_int_distribution<int> value(least, most);
  for (auto& row : matrix) {
    for (int& v : row) v = value(random);
  }
  return matrix;
}

int at(const Matrix& matrix, int row, int column) {
  return matrix[static_cast<std::size_t>(row)][static_cast<std::size_t>(column)];
}

// Registers of all lanes, [lane][register]. `place` says where element e of register r of a lane
// lies.
std::vector<u32> fragments(const Matrix& matrix, int count, const Element& element,
                           const std::function<std::pair<int, int>(int, int, int)>& place) {
  std::vector<u32> words;
  for (int lane = 0; lane < 32; ++lane) {
    for (int r = 0; r < count; ++r) {
      u64 word = 0;
      for (int e = 0; e < 32 / element.bits; ++e) {
        const auto [row, column] = place(lane, r, e);
        word |= element.encode(at(matrix, row, column)) << (e * element.bits);
      }
      words.push_back(static_cast<u32>(word));
    }
  }
  return words;
}

std::pair<int, int> accumulator(int lane, int i) {
  return {lane / 4 + i / 2 * 8, lane % 4 * 2 + i % 2};
}

void check(const std::string& types, int k, const Element& a, const Element& b,
           const Element& accumulate, bool rows_of_bytes = false) {
  const int per = 32 / a.bits;
  const int count_a = kM * k / per / 32, count_b = k * kN / per / 32;
  const int count_c = 4 * accumulate.bits / 32;
  const std::string instruction =
      "mma.sync.aligned.m16n8k" + std::to_string(k) + ".row.col." + types;
  Device device(kernel(instruction, count_a, count_b, count_c, count_c));
  std::mt19937 random(static_cast<unsigned>(k));
  const int least = rows_of_bytes && a.type == "u8" ? 0 : -5;
  const Matrix left = random_matrix(kM, k, least, 9, random);
  const Matrix right = random_matrix(k, kN, b.type == "u8" ? 0 : -7, 7, random);
  const Matrix start = random_matrix(kM, kN, -20, 20, random);
  const auto words_a = fragments(left, count_a, a, [&](int lane, int r, int e) {
    return std::pair(lane / 4 + r % 2 * 8, lane % 4 * per + e + r / 2 * 4 * per);
  });
  const auto words_b = fragments(right, count_b, b, [&](int lane, int r, int e) {
    return std::pair(lane % 4 * per + e + r * 4 * per, lane / 4);
  });
  const auto words_c = fragments(start, count_c, accumulate, [&](int lane, int r, int e) {
    return accumulator(lane, accumulate.bits == 16 ? 2 * r + e : r);
  });
  const DeviceAddress out = device.memory.allocate(words_c.size() * 4);
  device.run("k", {.block = {32}},
             {device.memory.allocate(words_a), device.memory.allocate(words_b),
              device.memory.allocate(words_c), out});
  const auto words_d = device.memory.read<u32>(out, words_c.size());
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const auto [row, column] = accumulator(lane, i);
      int expected = at(start, row, column);
      for (int j = 0; j < k; ++j) expected += at(left, row, j) * at(right, j, column);
      const int shift = accumulate.bits == 16 ? i % 2 * 16 : 0;
      const int r = accumulate.bits == 16 ? i / 2 : i;
      const u32 word = words_d[static_cast<std::size_t>(lane * count_c + r)] >> shift;
      const u64 mask = accumulate.bits == 16 ? 0xffff : 0xffffffff;
      EXPECT_EQ(word & mask, accumulate.encode(expected) & mask)
          << instruction << " " << row << "," << column;
    }
  }
}

const Element kHalf = {"f16", 16, encode_half};
const Element kBfloat = {"bf16", 16, encode_bfloat};
const Element kTf32 = {"tf32", 32, encode_float};
const Element kFloat = {"f32", 32, encode_float};
const Element kSigned = {"s8", 8, encode_byte};
const Element kUnsigned = {"u8", 8, encode_byte};
const Element kWord = {"s32", 32, [](int v) { return static_cast<u64>(static_cast<u32>(v)); }};

TEST(MatrixTest, MultipliesEveryFormat) {
  check("f32.f16.f16.f32", 16, kHalf, kHalf, kFloat);
  check("f32.f16.f16.f32", 8, kHalf, kHalf, kFloat);
  check("f16.f16.f16.f16", 16, kHalf, kHalf, kHalf);
  check("f32.bf16.bf16.f32", 16, kBfloat, kBfloat, kFloat);
  check("f32.bf16.bf16.f32", 8, kBfloat, kBfloat, kFloat);
  check("f32.tf32.tf32.f32", 8, kTf32, kTf32, kFloat);
  check("f32.tf32.tf32.f32", 4, kTf32, kTf32, kFloat);
  check("s32.s8.s8.s32", 32, kSigned, kSigned, kWord);
  check("s32.s8.s8.s32", 16, kSigned, kSigned, kWord);
  check("s32.u8.s8.s32", 32, kUnsigned, kSigned, kWord, true);
}

TEST(MatrixTest, RefusesWhatDoesNotExist) {
  const auto error = [](const std::string& instruction, int a, int b) {
    return testing::parse_error(kernel(instruction, a, b, 4, 4));
  };
  EXPECT_EQ(error("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", 4, 2), "");
  EXPECT_CONTAINS(error("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", 2, 2),
                  "unknown instruction");
  EXPECT_CONTAINS(error("mma.sync.aligned.m16n8k16.row.row.f32.f16.f16.f32", 4, 2),
                  "unknown instruction");
  EXPECT_CONTAINS(error("mma.sync.aligned.m8n8k4.row.col.f32.f16.f16.f32", 4, 2),
                  "unknown instruction");
  EXPECT_CONTAINS(error("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32", 4, 2),
                  "unknown instruction");
}

TEST(MatrixTest, AnIncompleteWarpIsAFault) {
  const std::string instruction = "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32";
  Device device(kernel(instruction, 2, 1, 4, 4));
  const DeviceAddress zeros = device.memory.allocate(std::vector<u32>(128));
  EXPECT_CONTAINS(device.fault("k", {.block = {16}}, {zeros, zeros, zeros, zeros}),
                  "mma with an incomplete warp");
}

// A kernel that fills shared memory with 0, 1, 2, … as 16-bit elements, does `code` with the
// address of row %t of 16 bytes in %s, and returns %d0 to %d3.
std::vector<u32> moved(const std::string& code) {
  Device device(std::string(kHeader) + R"(
.visible .entry k(.param .u64 out)
{
  .shared .align 16 .b8 s[512];
  .reg .b32 %d<4>, %t, %s, %x, %i;
  .reg .b64 %p;
  .reg .pred %q;
  ld.param.u64 %p, [out];
  mov.u32 %t, %tid.x;
  mov.u32 %s, s;
  mad.lo.u32 %s, %t, 16, %s;
  mul.lo.u32 %x, %t, 0x80008;
  add.u32 %x, %x, 0x10000;
  mov.u32 %i, 0;
fill:
  st.shared.u32 [%s], %x;
  add.u32 %x, %x, 0x20002;
  add.u32 %s, %s, 4;
  add.u32 %i, %i, 1;
  setp.lt.u32 %q, %i, 4;
  @%q bra fill;
  sub.u32 %s, %s, 16;
  bar.warp.sync -1;
  mov.u32 %d0, 0; mov.u32 %d1, 0; mov.u32 %d2, 0; mov.u32 %d3, 0;
  )" + code + R"(
  mad.wide.u32 %p, %t, 16, %p;
  st.global.v4.u32 [%p], {%d0, %d1, %d2, %d3};
  ret;
})");
  const DeviceAddress out = device.memory.allocate(512);
  device.run("k", {.block = {32}}, {out});
  return device.memory.read<u32>(out, 128);
}

TEST(MatrixMemoryTest, LoadsMatrices) {
  const auto words = moved("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%d0, %d1, %d2, %d3}, [%s];");
  const auto transposed = moved("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%d0, %d1}, [%s];");
  for (u32 lane = 0; lane < 32; ++lane) {
    for (u32 i = 0; i < 4; ++i) {
      const u32 first = i * 64 + lane / 4 * 8 + lane % 4 * 2;
      EXPECT_EQ(words[lane * 4 + i], first | (first + 1) << 16);
      const u32 column = i * 64 + lane % 4 * 16 + lane / 4;
      if (i < 2) {
        EXPECT_EQ(transposed[lane * 4 + i], column | (column + 8) << 16);
      }
    }
  }
}

TEST(MatrixMemoryTest, StoresWhatItLoads) {
  const std::string both =
      "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%d0, %d1}, [%s];"
      "stmatrix.sync.aligned.m8n8.x2.shared.b16 [%s], {%d0, %d1};"
      "bar.warp.sync -1; ld.shared.v4.u32 {%d0, %d1, %d2, %d3}, [%s];";
  const auto words = moved(both);
  for (u32 row = 0; row < 16; ++row) {
    for (u32 column = 0; column < 8; ++column) {
      const u32 value = words[row * 4 + column / 2] >> (16 * (column % 2)) & 0xffff;
      EXPECT_EQ(value, row / 8 * 64 + column * 8 + row % 8);
    }
  }
}

}  // namespace
}  // namespace reformer::ptx
