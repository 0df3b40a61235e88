// Every operation of the communicator on MPI. MPI's own collectives do what they can promise; sums
// in rank order and slices of any size are made of messages between pairs.
#pragma once

#include "comm/mpi.h"
#include "comm/mpi_steps.h"
#include "comm/operation.h"

namespace reformer::mpi {

/// The group that an operation runs in.
struct Group {
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0;
  int size = 1;
  int machines = 1;     // that the ranks are on
  int local_ranks = 1;  // of them on this machine
  int local_rank = 0;   // place among those
  // No single call moves more than this: counts of MPI 3 are 32 bits wide. Also the scratch memory
  // of every reduction under way.
  int64_t piece_bytes = kPieceBytes;
};

/// The steps of any operation but kSplit. Its memory is touched until they end or are destroyed.
Steps carry_out(const Operation& operation, const Group& group);

}  // namespace reformer::mpi
