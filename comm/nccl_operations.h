// Every operation of the communicator that can be NCCL's, as calls of NCCL.
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include "comm/operation.h"

namespace reformer::nccl {

/// A communicator of NCCL, and this rank's place in it.
struct Group {
  ncclComm_t* handle = nullptr;
  int rank = 0;
  int size = 1;
};

/// False when the views of `operation` lie in host memory, or all of them are empty. CHECKs that
/// all lie in the same.
bool is_on_device(const Operation& operation);

/// Puts the operation on the stream. To be called in a group of NCCL's, which all ranks launch with
/// the same operations. REQUIRES: is_on_device.
ncclResult_t enqueue(const Operation& operation, const Group& group, cudaStream_t stream);

}  // namespace reformer::nccl
