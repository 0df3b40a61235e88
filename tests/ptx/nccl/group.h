// ncclGroupStart and ncclGroupEnd: calls between them are launched together.
#pragma once

#include <vector>

#include "tests/ptx/nccl/communicator.h"

namespace reformer::ptx::nccl {

void start_group();
/// Launches the calls of the outermost group, one operation for each communicator. The calls of one
/// communicator must be for one stream. Restricted to what the trainer needs: communicators are
/// made outside of groups.
ncclResult_t end_group();
bool is_in_group();

/// A call of this thread: of the group that is open, or a group of its own.
ncclResult_t add_call(ncclComm_t communicator, const Call& call, cudaStream_t stream);

}  // namespace reformer::ptx::nccl
