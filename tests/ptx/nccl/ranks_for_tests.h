// For tests of the stand-in: ranks as processes of their own, and streams that run when told to.
#pragma once

#include <functional>
#include <vector>

#include <gtest/gtest.h>
#include <nccl.h>

namespace reformer::ptx::nccl {

/// Runs `body` as each rank, in processes forked from this one, and expects of all that they end
/// within 20 s without a failed expectation. `id` is one unique id for all; each rank has a device
/// of its own.
void run_ranks(int ranks, const std::function<void(int rank, const ncclUniqueId& id)>& body);

/// The device of this process from now on.
void use_device(int device);

/// Two streams.
inline const auto kStream = reinterpret_cast<cudaStream_t>(1);
inline const auto kOtherStream = reinterpret_cast<cudaStream_t>(2);

/// Does what is queued on all streams. False when not all of it is done within `seconds`.
bool run_streams(double seconds = 10);
/// True when all that was queued is done.
bool streams_are_empty();

/// A communicator of all ranks that does not block, ready for use.
ncclComm_t meet(int ranks, const ncclUniqueId& id, int rank);
/// Asks the communicator until it is no longer in progress.
ncclResult_t settle(ncclComm_t communicator);
/// The same, running the streams meanwhile, until there is an error; ncclSuccess after `seconds`.
ncclResult_t wait_for_error(ncclComm_t communicator, double seconds = 5);

}  // namespace reformer::ptx::nccl
