#include "comm/mesh.h"

#include <string>

#include <fmt/format.h>

#include "kernels/core/check.h"
#include "kernels/core/errors.h"

namespace reformer {

Mesh make_mesh(int rank, int size, int sequence_size) {
  CHECK(0 <= rank && rank < size);
  if (sequence_size < 1 || size % sequence_size != 0) {
    std::string legal;
    for (int count = 1; count <= size; ++count) {
      if (size % count == 0) legal += fmt::format("{}{}", legal.empty() ? "" : ", ", count);
    }
    throw CommError(fmt::format("[mesh] {} ranks cannot share sequences {} by {}, legal: {}", size,
                                sequence_size, sequence_size, legal));
  }
  return {.data_size = size / sequence_size,
          .sequence_size = sequence_size,
          .data_rank = rank / sequence_size,
          .sequence_rank = rank % sequence_size};
}

}  // namespace reformer
