// The communicator of ranks with a GPU each: NCCL for what lies on the GPU, and the communicator
// underneath, MPI's, for what lies in host memory. Built without NCCL, everything here throws
// DeviceError (no_nccl.cc).
//
// Beyond the rules of communicator.h:
//   * An operation is NCCL's when its views are device memory. All ranks must agree on that.
//     Exclusive scans and barriers are host operations.
//   * Operations on device memory run one after the other, on a stream of their own, in the order
//     of their starts; sends and receives, though, at the first wait for one of them, together with
//     all others of the same group that have been started by then.
//   * The deadline of such an operation is kept by a watchdog, from the time when the GPU has come
//     to it. Once it has passed, or NCCL reports an error, all NCCL communicators of the rank are
//     aborted, the GPU goes on with results that mean nothing, and every later operation, on host
//     memory too, throws. A process that does not come to one, or whose abort hangs, ends within
//     kNcclFailureGrace.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/mpi.h"

namespace reformer {

inline constexpr std::chrono::milliseconds kNcclAbortGrace{1000};
inline constexpr std::chrono::milliseconds kNcclFailureGrace{1900};

/// "NCCL 2.28.9".
std::string nccl_library_version();

/// The device for this rank: that of its place among the ranks of this machine, or, where a
/// launcher shows each rank one device alone, that one. Collective. Throws DeviceError when two
/// ranks of the job would share a GPU.
int choose_device(MpiWorld& world);

/// All ranks of `world`, which must outlive it. `compute_stream` is a cudaStream_t of the current
/// device, on which the rank computes. Collective; throws CommError when the ranks do not all come
/// within setup.timeout.
std::unique_ptr<Communicator> make_nccl_communicator(MpiWorld& world, void* compute_stream,
                                                     const CommunicatorSetup& setup);

}  // namespace reformer
