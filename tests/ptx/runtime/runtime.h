// The state behind the functions of libcudart, and what they share: the calling thread's device and
// last error, and how faults are told.
//
// A fault is printed to stderr in words. One found while a call is checked is the result of that
// call; one found while queued work runs is the error of its device from then on, as on a GPU.
#pragma once

#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include <cuda_runtime_api.h>
#include <sys/types.h>

#include "tests/ptx/interpreter/interpreter.h"
#include "tests/ptx/runtime/checked_memory.h"
#include "tests/ptx/runtime/modules.h"
#include "tests/ptx/runtime/settings.h"
#include "tests/ptx/runtime/stream_queue.h"

namespace reformer::ptx {

/// Ends a call of the runtime with this result.
class CallError : public std::exception {
 public:
  explicit CallError(cudaError_t error) : error_(error) {}
  cudaError_t error() const { return error_; }
  const char* what() const noexcept override { return cudaGetErrorString(error_); }

 private:
  cudaError_t error_;
};

/// "ptx: …" on stderr, in one piece.
void report(const std::string& message);

class Runtime {
 public:
  /// Made by the first call, and never destroyed: programs call until their very end.
  static Runtime& instance();

  const pid_t process;  // that made it
  const Settings settings;
  CheckedMemory memory;
  Modules modules;
  StreamQueue queue;
  Coverage coverage;  // of the kernels; touched by device operations alone, of which one runs

  /// Of the calling thread.
  int device() const;
  void set_device(int device);

  /// What a handle stands for. CallError when it is not one of ours.
  Stream* stream(cudaStream_t handle);

  /// The error of the calling thread's device, or success.
  cudaError_t device_error() const;

 private:
  explicit Runtime(const Settings& settings);

  std::mutex mutex_;
  std::map<std::pair<std::thread::id, int>, Stream*> thread_streams_;  // guarded by mutex_
};

/// Remembers `error` as the last one of the calling thread, unless it is success; returns it.
cudaError_t remember(cudaError_t error);
/// The last error of the calling thread.
cudaError_t& last_error();

/// For functions that touch no device: the result of `body`, remembered. What it throws is told and
/// turned into an error.
cudaError_t call(const std::function<cudaError_t(Runtime&)>& body);
/// For those that do: fails when there is none, or when it has failed before.
cudaError_t device_call(const std::function<cudaError_t(Runtime&)>& body);

/// A step that runs `body` once; an AccessError is told, after `what` was being done, and is the
/// device's error.
Step checked_step(std::string what, std::function<void()> body);

/// "0x7f0000000200"
std::string hexadecimal(const void* pointer);

}  // namespace reformer::ptx
