// mma.sync: D = A·B + C on fragments that the lanes of a warp hold, in the layouts of the PTX ISA.
// Sums are in double and rounded once, so the last bits of a float result may differ from the
// hardware's.
#include <algorithm>
#include <array>

#include <immintrin.h>

#include "tests/ptx/interpreter/decoding.h"
#include "tests/ptx/interpreter/lanes.h"

namespace reformer::ptx {
namespace {

constexpr int kRows = 16;
constexpr int kColumns = 8;
constexpr int kMostInner = 64;

struct Tile {
  alignas(32) std::array<std::array<double, kMostInner>, kRows> a;
  alignas(32) std::array<std::array<double, kColumns>, kMostInner> b;
  alignas(32) std::array<std::array<double, kColumns>, kRows> c;
};

int elements_in_register(Type type) {
  switch (type) {
    case Type::kF16:
    case Type::kBf16:
      return 2;
    case Type::kS8:
    case Type::kU8:
      return 4;
    default:
      return 1;
  }
}

template <Type type>
double element(u64 word, int index) {
  switch (type) {
    case Type::kF16:
      return half_to_float(word >> (16 * index));
    case Type::kBf16:
      return bfloat_to_float(word >> (16 * index));
    case Type::kTf32:
      return float_of(word & ~u64{0x1fff});
    case Type::kS8:
      return static_cast<s8>(word >> (8 * index));
    default:
      return static_cast<u8>(word >> (8 * index));
  }
}

// Lane l is in group l/4, the row of A and column of B that it holds, and has place l%4 along K.
// A register holds neighbours along K; the next one is eight rows below (A only), the one after
// that half a tile along K.
template <Type type>
void unpack_a(const Operand& a, Warp& warp, Tile& tile) {
  const int count = elements_in_register(type);
  for (int r = 0; r < a.count; ++r) {
    const Source source(warp, a.elements[r]);
    for (int l = 0; l < kLanes; ++l) {
      const int row = l / 4 + (r % 2) * 8;
      const int k = (l % 4) * count + (r / 2) * 4 * count;
      for (int e = 0; e < count; ++e) {
        tile.a[static_cast<std::size_t>(row)][static_cast<std::size_t>(k + e)] =
            element<type>(source[l], e);
      }
    }
  }
}

template <Type type>
void unpack_b(const Operand& b, Warp& warp, Tile& tile) {
  const int count = elements_in_register(type);
  for (int r = 0; r < b.count; ++r) {
    const Source source(warp, b.elements[r]);
    for (int l = 0; l < kLanes; ++l) {
      const int k = (l % 4) * count + r * 4 * count;
      for (int e = 0; e < count; ++e) {
        tile.b[static_cast<std::size_t>(k + e)][static_cast<std::size_t>(l / 4)] =
            element<type>(source[l], e);
      }
    }
  }
}

template <class Unpack>
void for_type(Type type, Unpack unpack) {
  switch (type) {
    case Type::kF16:
      return unpack.template operator()<Type::kF16>();
    case Type::kBf16:
      return unpack.template operator()<Type::kBf16>();
    case Type::kTf32:
      return unpack.template operator()<Type::kTf32>();
    case Type::kS8:
      return unpack.template operator()<Type::kS8>();
    default:
      return unpack.template operator()<Type::kU8>();
  }
}

double& accumulator(Tile& tile, int lane, int i) {
  return tile.c[static_cast<std::size_t>(lane / 4 + (i / 2) * 8)]
               [static_cast<std::size_t>((lane % 4) * 2 + i % 2)];
}

void unpack_c(const Operand& c, Type type, Warp& warp, Tile& tile) {
  for (int i = 0; i < 4; ++i) {
    const Source source(warp, c.elements[type == Type::kF16 ? i / 2 : i]);
    for (int l = 0; l < kLanes; ++l) {
      double& value = accumulator(tile, l, i);
      if (type == Type::kF16) {
        value = half_to_float(source[l] >> (16 * (i % 2)));
      } else {
        value = type == Type::kF32 ? double{float_of(source[l])}
                                   : static_cast<double>(static_cast<s32>(source[l]));
      }
    }
  }
}

void multiply(Tile& tile, int inner) {
  for (std::size_t row = 0; row < kRows; ++row) {
    double* c = tile.c[row].data();
    __m256d low = _mm256_load_pd(c), high = _mm256_load_pd(c + 4);
    for (std::size_t k = 0; k < static_cast<std::size_t>(inner); ++k) {
      const __m256d a = _mm256_set1_pd(tile.a[row][k]);
      low = _mm256_fmadd_pd(a, _mm256_load_pd(tile.b[k].data()), low);
      high = _mm256_fmadd_pd(a, _mm256_load_pd(tile.b[k].data() + 4), high);
    }
    _mm256_store_pd(c, low);
    _mm256_store_pd(c + 4, high);
  }
}

u64 integer_result(double value, bool saturate) {
  const s64 exact = static_cast<s64>(value);
  if (!saturate) return static_cast<u32>(exact);
  return static_cast<u32>(static_cast<s32>(std::clamp<s64>(exact, INT32_MIN, INT32_MAX)));
}

void pack_d(const Operand& d, Type type, bool saturate, Warp& warp, Tile& tile) {
  for (int i = 0; i < 4; ++i) {
    u64* to = warp.destination(d.elements[type == Type::kF16 ? i / 2 : i]);
    if (to == nullptr) continue;
    for (int l = 0; l < kLanes; ++l) {
      const double value = accumulator(tile, l, i);
      if (type == Type::kF16) {
        const u64 bits = to_half(value);
        to[l] = i % 2 == 0 ? bits : to[l] | bits << 16;
      } else {
        to[l] = type == Type::kF32 ? bits_of(static_cast<float>(value))
                                   : integer_result(value, saturate);
      }
    }
  }
}

// mode: K.
void multiply_matrices(const Instruction& in, Warp& warp, LaneMask mask) {
  if (mask != kAllLanes) warp.fault("mma with an incomplete warp", first_lane(mask));
  Tile tile;
  for_type(in.types[1], [&]<Type type>() { unpack_a<type>(in.operands[1], warp, tile); });
  for_type(in.types[2], [&]<Type type>() { unpack_b<type>(in.operands[2], warp, tile); });
  unpack_c(in.operands[3], in.types[3], warp, tile);
  multiply(tile, in.mode);
  pack_d(in.operands[0], in.types[0], in.saturate, warp, tile);
}

bool fits(Type result, Type a, Type b) {
  switch (a) {
    case Type::kF16:
      return a == b && (result == Type::kF16 || result == Type::kF32);
    case Type::kBf16:
    case Type::kTf32:
      return a == b && result == Type::kF32;
    case Type::kS8:
    case Type::kU8:
      return (b == Type::kS8 || b == Type::kU8) && result == Type::kS32;
    default:
      return false;
  }
}

void decode_multiply(Decoding& d) {
  d.operands(4, 4);
  Instruction& in = d.instruction;
  if (!d.take("sync") || !d.take("aligned") || !d.take("row") || !d.take("col")) d.refuse();
  int m = 0, n = 0, k = 0;
  if (!d.take_shape(m, n, k) || m != kRows || n != kColumns) d.refuse();
  in.saturate = d.take("satfinite");
  for (Type& type : in.types) type = d.take_type();
  in.type = in.types[0];
  if (!fits(in.types[0], in.types[1], in.types[2])) d.refuse();
  if (in.types[3] != in.types[0] && in.types[1] != Type::kF16) d.refuse();
  const int per_lane = elements_in_register(in.types[1]) * kLanes;
  const int wide = in.types[0] == Type::kF16 ? 2 : 4, wide_c = in.types[3] == Type::kF16 ? 2 : 4;
  if (k * kColumns % per_lane != 0 || k * kColumns / per_lane < 1 || k * kColumns / per_lane > 2 ||
      in.operands[0].count != wide || in.operands[1].count != k * kRows / per_lane ||
      in.operands[2].count != k * kColumns / per_lane || in.operands[3].count != wide_c) {
    d.refuse();
  }
  in.mode = static_cast<u8>(k);
  in.handler = &multiply_matrices;
  in.meeting = Meeting::kWarp;
}

}  // namespace

void add_matrix_instructions(InstructionTable& table) {
  table["mma"].add(decode_multiply,
                   ".sync.aligned.m16n8k8|.m16n8k16.row.col.f32|.f16.f16.f16.f32|.f16; "
                   ".m16n8k8|.m16n8k16.row.col.f32.bf16.bf16.f32; "
                   ".m16n8k4|.m16n8k8.row.col.f32.tf32.tf32.f32; "
                   ".m16n8k16|.m16n8k32.row.col{.satfinite}.s32.s8|.u8.s8|.u8.s32");
}

}  // namespace reformer::ptx
