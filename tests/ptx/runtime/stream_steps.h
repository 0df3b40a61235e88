// What the stand-in libcudart offers to the other stand-in libraries, beside the vendor's
// functions: work of their own on a stream, and memory behind device pointers.
#pragma once

#include <driver_types.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {

/// Queues work on a stream. When its turn comes `step(state)` is called again and again, while
/// other streams proceed, until it returns 1 (done) or −1 (failed: the device has an error from
/// then on). 0 means not yet; it never waits inside. It is not called any more once its device has
/// failed. Returns 0 or the cudaError_t that kept it from being queued.
int ptxStreamEnqueue(cudaStream_t stream, int (*step)(void* state), void* state);

/// The host's bytes behind [device, device + bytes), to be read (all were written), or written
/// (they are from now on). To be called in a step. Null, after the fault was printed, when the
/// memory is not the device's or not all of one allocation.
void* ptxHostPointer(const void* device, size_t bytes, int write);

/// Calls body(state, i) for every i in [0, count), each once, on PTX_THREADS threads, and returns
/// when all are done. To be called in a step.
void ptxParallelFor(int64_t count, void (*body)(void* state, int64_t index), void* state);
}
