#include "comm/mesh.h"

#include <string>

#include <fmt/format.h>

#include "kernels/core/check.h"
#include "kernels/core/errors.h"

namespace reformer {
namespace {

bool divides(int part, int whole) {
  return part >= 1 && whole % part == 0;
}

std::string divisors_of(int whole) {
  std::string list;
  for (int part = 1; part <= whole; ++part) {
    if (divides(part, whole)) list += fmt::format("{}{}", list.empty() ? "" : ", ", part);
  }
  return list;
}

}  // namespace

Mesh make_mesh(int rank, int size, int sequence_size, int head_size) {
  CHECK(0 <= rank && rank < size);
  if (!divides(sequence_size, size)) {
    throw CommError(fmt::format("[mesh] {} ranks cannot share sequences {} by {}, legal: {}", size,
                                sequence_size, sequence_size, divisors_of(size)));
  }
  if (!divides(head_size, sequence_size)) {
    throw CommError(
        fmt::format("[mesh] {} ranks of a sequence cannot share heads {} by {}, legal: {}",
                    sequence_size, head_size, head_size, divisors_of(sequence_size)));
  }
  return {.data_size = size / sequence_size,
          .sequence_size = sequence_size,
          .head_size = head_size,
          .data_rank = rank / sequence_size,
          .sequence_rank = rank % sequence_size};
}

}  // namespace reformer
