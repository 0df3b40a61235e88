// ldmatrix and stmatrix: 8×8 matrices of 16-bit elements between shared memory, where lanes name
// the rows, and fragments in the layout of mma.
#include <array>
#include <cstring>

#include "tests/ptx/interpreter/decoding.h"
#include "tests/ptx/interpreter/memory_access.h"

namespace reformer::ptx {
namespace {

constexpr int kSide = 8;
using Matrix = std::array<std::array<u16, kSide>, kSide>;

// Which element of its matrix a lane holds in half `e` of its register.
u16& element_of(Matrix& matrix, int lane, int e, bool transposed) {
  const auto row = static_cast<std::size_t>(transposed ? lane % 4 * 2 + e : lane / 4);
  const auto column = static_cast<std::size_t>(transposed ? lane / 4 : lane % 4 * 2 + e);
  return matrix[row][column];
}

// Host addresses of the rows of `vector` matrices, which the first 8·vector lanes name.
void reach_rows(const Instruction& in, Warp& warp, LaneMask mask, const Operand& address,
                bool writes, LaneValues& rows) {
  if (mask != kAllLanes) {
    warp.fault("a matrix is moved by an incomplete warp", first_lane(mask));
  }
  const LaneMask naming = in.vector == 4 ? kAllLanes : (LaneMask{1} << (kSide * in.vector)) - 1;
  addresses_of(in, warp, address, in.space, naming, rows);
  reach(in, warp, {.space = in.space, .bytes = 2 * kSide, .reads = !writes, .writes = writes},
        naming, rows);
}

const Operand& fragment(const Instruction& in, std::size_t operand, int i) {
  const Operand& all = in.operands[operand];
  return all.kind == OperandKind::kVector ? all.elements[i] : all;
}

// `flag`: transposed.
void load_matrices(const Instruction& in, Warp& warp, LaneMask mask) {
  LaneValues rows;
  reach_rows(in, warp, mask, in.operands[1], false, rows);
  for (int i = 0; i < in.vector; ++i) {
    Matrix matrix;
    for (int row = 0; row < kSide; ++row) {
      std::memcpy(matrix[static_cast<std::size_t>(row)].data(), host(rows[i * kSide + row]),
                  2 * kSide);
    }
    u64* d = warp.destination(fragment(in, 0, i));
    if (d == nullptr) continue;
    for (int l = 0; l < kLanes; ++l) {
      d[l] = element_of(matrix, l, 0, in.flag) | u64{element_of(matrix, l, 1, in.flag)} << 16;
    }
  }
}

void store_matrices(const Instruction& in, Warp& warp, LaneMask mask) {
  LaneValues rows;
  reach_rows(in, warp, mask, in.operands[0], true, rows);
  for (int i = 0; i < in.vector; ++i) {
    Matrix matrix;
    const Source source(warp, fragment(in, 1, i));
    for (int l = 0; l < kLanes; ++l) {
      element_of(matrix, l, 0, in.flag) = static_cast<u16>(source[l]);
      element_of(matrix, l, 1, in.flag) = static_cast<u16>(source[l] >> 16);
    }
    for (int row = 0; row < kSide; ++row) {
      std::memcpy(host(rows[i * kSide + row]), matrix[static_cast<std::size_t>(row)].data(),
                  2 * kSide);
    }
  }
}

void decode_matrix_move(Decoding& d) {
  d.operands(2, 2);
  Instruction& in = d.instruction;
  if (!d.take("sync") || !d.take("aligned") || !d.take("m8n8")) d.refuse();
  in.vector = static_cast<u8>(1 << d.take_one({"x1", "x2", "x4"}));
  in.flag = d.take("trans");
  in.space = d.take_space();
  in.type = d.take_type({Type::kB16});
  const bool loads = d.statement.opcode == "ldmatrix";
  const Operand& fragments = in.operands[loads ? 0 : 1];
  const int count = fragments.kind == OperandKind::kVector ? fragments.count : 1;
  if (in.space != Space::kShared || count != in.vector) d.refuse();
  in.handler = loads ? &load_matrices : &store_matrices;
  in.meeting = Meeting::kWarp;
}

}  // namespace

void add_matrix_memory_instructions(InstructionTable& table) {
  table["ldmatrix"].add(decode_matrix_move, ".sync.aligned.m8n8.x1|.x2|.x4{.trans}.shared.b16");
  table["stmatrix"].add(decode_matrix_move, ".sync.aligned.m8n8.x1|.x2|.x4{.trans}.shared.b16");
}

}  // namespace reformer::ptx
