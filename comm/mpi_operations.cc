#include "comm/mpi_operations.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "comm/summation.h"
#include "kernels/core/errors.h"

namespace reformer::mpi {
namespace {

// Sends and receives of a pair match in order under one tag; each collective has a tag of its own.
constexpr int kPointToPointTag = 0;
constexpr int64_t kCollectiveTags = 1 << 14;  // the standard promises tags up to 32767

int tag_of(const Operation& operation) {
  return operation.is_collective() ? 1 + static_cast<int>(operation.sequence % kCollectiveTags)
                                   : kPointToPointTag;
}

MPI_Datatype datatype_of(DType dtype) {
  switch (dtype) {
    case DType::kInt64:
      return MPI_INT64_T;
    case DType::kFloat32:
      return MPI_FLOAT;
    case DType::kFloat64:
      return MPI_DOUBLE;
    default:
      CHECK(!"a dtype that can be summed");
  }
}

/// Calls visit(piece) for consecutive pieces of a view.
template <typename Visit>
void for_each_piece(const View& view, int64_t piece_bytes, const Visit& visit) {
  const int64_t most =
      std::max<int64_t>(1, piece_bytes / static_cast<int64_t>(size_of(view.dtype())));
  const int64_t elements = view.elements();
  for (int64_t begin = 0; begin < elements; begin += most) {
    visit(Slice{begin, std::min(begin + most, elements)}.of(view));
  }
}

/// Sends and receives between pairs, under one tag.
class Messages {
 public:
  Messages(const Group& group, int tag, Requests& requests)
      : group_(group), tag_(tag), requests_(requests) {}

  void send(const View& data, int to) {
    for_each_piece(data, group_.piece_bytes, [&](const View& piece) {
      check(MPI_Isend(piece.raw(), static_cast<int>(piece.bytes()), MPI_BYTE, to, tag_, group_.comm,
                      &requests_.emplace_back()),
            "MPI_Isend");
    });
  }

  void receive(const View& data, int from) {
    for_each_piece(data, group_.piece_bytes, [&](const View& piece) {
      check(MPI_Irecv(piece.raw(), static_cast<int>(piece.bytes()), MPI_BYTE, from, tag_,
                      group_.comm, &requests_.emplace_back()),
            "MPI_Irecv");
    });
  }

  template <typename Visit>
  void for_each_other(const Visit& visit) const {
    // Everybody begins with the next rank, so that not all talk to rank 0 first.
    for (int distance = 1; distance < group_.size; ++distance) {
      visit((group_.rank + distance) % group_.size);
    }
  }

 private:
  const Group& group_;
  int tag_;
  Requests& requests_;
};

/// Element sums that no order changes are MPI's own business; the others are added here, piece by
/// piece, in rank order.
Steps all_reduce(Operation operation, Group group) {
  Requests requests;
  if (operation.data.dtype() == DType::kInt64) {
    for_each_piece(operation.data, group.piece_bytes, [&](const View& piece) {
      check(
          MPI_Iallreduce(MPI_IN_PLACE, piece.raw(), static_cast<int>(piece.elements()),
                         datatype_of(piece.dtype()), MPI_SUM, group.comm, &requests.emplace_back()),
          "MPI_Iallreduce");
    });
    co_await requests;
    co_return;
  }

  std::vector<View> pieces;
  for_each_piece(operation.data, group.piece_bytes / group.size,
                 [&](const View& piece) { pieces.push_back(piece); });
  Messages messages(group, tag_of(operation), requests);
  for (const View& piece : pieces) {
    const Tensor scratch(piece.dtype(), {group.size, piece.elements()});
    std::vector<View> terms;
    for (int rank = 0; rank < group.size; ++rank) {
      terms.push_back(scratch.view().rows(rank, rank + 1));
    }
    std::memcpy(terms[static_cast<size_t>(group.rank)].raw(), piece.raw(), piece.bytes());
    messages.for_each_other([&](int other) {
      messages.send(piece, other);
      messages.receive(terms[static_cast<size_t>(other)], other);
    });
    co_await requests;
    add_in_order(terms);
    std::memcpy(piece.raw(), terms[0].raw(), piece.bytes());
  }
}

/// Round by round, every rank gets a piece of its own slice from all others, and adds.
Steps reduce_scatter(Operation operation, Group group) {
  const View& data = operation.data;
  const auto me = static_cast<size_t>(group.rank);
  const int64_t most = std::max<int64_t>(
      1, group.piece_bytes / group.size / static_cast<int64_t>(size_of(data.dtype())));
  int64_t longest = 0;
  for (const Slice& slice : operation.slices) longest = std::max(longest, slice.elements());
  const auto part_of = [&](int rank, int64_t round) {
    const Slice& slice = operation.slices[static_cast<size_t>(rank)];
    const int64_t begin = std::min(slice.begin + round * most, slice.end);
    return Slice{begin, std::min(begin + most, slice.end)}.of(data);
  };

  Requests requests;
  Messages messages(group, tag_of(operation), requests);
  const Tensor scratch(data.dtype(), {group.size, std::min(most, operation.slices[me].elements())});
  for (int64_t round = 0; round * most < longest; ++round) {
    const View own = part_of(group.rank, round);
    std::vector<View> terms;
    for (int rank = 0; rank < group.size && own.elements() > 0; ++rank) {
      terms.push_back(scratch.view().rows(rank, rank + 1).reshape({scratch.shape()[1]}));
      terms.back() = terms.back().rows(0, own.elements());
    }
    messages.for_each_other([&](int other) {
      messages.send(part_of(other, round), other);
      if (own.elements() > 0) messages.receive(terms[static_cast<size_t>(other)], other);
    });
    co_await requests;
    if (own.elements() == 0) continue;
    std::memcpy(terms[me].raw(), own.raw(), own.bytes());
    add_in_order(terms);
    std::memcpy(own.raw(), terms[0].raw(), own.bytes());
  }
}

Steps all_gather(Operation operation, Group group) {
  Requests requests;
  Messages messages(group, tag_of(operation), requests);
  const auto part_of = [&](int rank) {
    return operation.slices[static_cast<size_t>(rank)].of(operation.data);
  };
  messages.for_each_other([&](int other) {
    messages.send(part_of(group.rank), other);
    messages.receive(part_of(other), other);
  });
  co_await requests;
}

Steps all_to_all(Operation operation, Group group) {
  Requests requests;
  Messages messages(group, tag_of(operation), requests);
  const auto sent = [&](int rank) {
    return operation.slices[static_cast<size_t>(rank)].of(operation.data);
  };
  const auto received = [&](int rank) {
    return operation.received_slices[static_cast<size_t>(rank)].of(operation.received);
  };
  messages.for_each_other([&](int other) {
    messages.send(sent(other), other);
    messages.receive(received(other), other);
  });
  const View own = sent(group.rank);
  CHECK_EQ(own.elements(), received(group.rank).elements());
  if (own.bytes() > 0) std::memmove(received(group.rank).raw(), own.raw(), own.bytes());
  co_await requests;
}

Steps message(Operation operation, Group group) {
  Requests requests;
  Messages messages(group, tag_of(operation), requests);
  if (operation.kind == OperationKind::kSend) {
    messages.send(operation.data, operation.peer);
  } else {
    messages.receive(operation.data, operation.peer);
  }
  co_await requests;
}

Steps broadcast(Operation operation, Group group) {
  Requests requests;
  for_each_piece(operation.data, group.piece_bytes, [&](const View& piece) {
    check(MPI_Ibcast(piece.raw(), static_cast<int>(piece.bytes()), MPI_BYTE, operation.peer,
                     group.comm, &requests.emplace_back()),
          "MPI_Ibcast");
  });
  co_await requests;
}

Steps exclusive_scan(Operation operation, Group group) {
  Requests requests;
  for_each_piece(operation.data, group.piece_bytes, [&](const View& piece) {
    check(MPI_Iexscan(MPI_IN_PLACE, piece.raw(), static_cast<int>(piece.elements()), MPI_INT64_T,
                      MPI_SUM, group.comm, &requests.emplace_back()),
          "MPI_Iexscan");
  });
  co_await requests;
  // MPI leaves it undefined on the first rank.
  if (group.rank == 0 && operation.data.bytes() > 0) {
    std::memset(operation.data.raw(), 0, operation.data.bytes());
  }
}

Steps barrier(Group group) {
  Requests requests;
  check(MPI_Ibarrier(group.comm, &requests.emplace_back()), "MPI_Ibarrier");
  co_await requests;
}

}  // namespace

void check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw CommError(
      fmt::format("[comm] {}: {}", call, std::string(text, static_cast<size_t>(length))));
}

Steps carry_out(const Operation& operation, const Group& group) {
  switch (operation.kind) {
    case OperationKind::kAllReduceSum:
      return all_reduce(operation, group);
    case OperationKind::kReduceScatterSum:
      return reduce_scatter(operation, group);
    case OperationKind::kAllGather:
      return all_gather(operation, group);
    case OperationKind::kBroadcast:
      return broadcast(operation, group);
    case OperationKind::kAllToAll:
      return all_to_all(operation, group);
    case OperationKind::kSend:
    case OperationKind::kReceive:
      return message(operation, group);
    case OperationKind::kExclusiveScanSum:
      return exclusive_scan(operation, group);
    case OperationKind::kBarrier:
      return barrier(group);
    case OperationKind::kSplit:
      break;
  }
  CHECK(!"an operation that has steps");
}

}  // namespace reformer::mpi
