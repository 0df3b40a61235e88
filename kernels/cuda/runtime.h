// What every CUDA op needs from the host: one device, one stream, the cuBLASLt handle and scratch
// memory. Owners are RAII types; every failed call throws DeviceError that names it.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <cuda_runtime_api.h>

#include "kernels/core/shape.h"
#include "kernels/core/view.h"

namespace reformer::cuda {

/// Throws DeviceError with the name of the call unless it succeeded.
void check(cudaError_t error, const char* call);

/// Device memory, freed at the end of its scope.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  explicit DeviceMemory(size_t bytes);
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  ~DeviceMemory();

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  /// Gives up ownership.
  std::byte* release();

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

/// Scratch memory of the ops, handed out like a stack. Never zeroed.
class Workspace {
 public:
  /// Counts only, and hands out addresses that must not be dereferenced, if `counts_only`.
  explicit Workspace(bool counts_only) : counts_only_(counts_only) {}

  /// Takes `bytes` at once. REQUIRES: nothing is in use.
  void reserve(size_t bytes);

  /// Aligned to 256 bytes, until the innermost Mark ends. Beyond the capacity, more is allocated.
  View allocate(DType dtype, const Shape& shape);

  /// Most bytes in use at one time so far.
  size_t peak() const { return peak_; }

  /// Gives back, at the end of its scope, what was allocated since its construction.
  class Mark {
   public:
    explicit Mark(Workspace& workspace) : workspace_(workspace), used_(workspace.used_) {}
    ~Mark();
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;

   private:
    Workspace& workspace_;
    size_t used_;
  };

 private:
  void grow(size_t bytes);

  bool counts_only_;
  DeviceMemory memory_;
  std::vector<DeviceMemory> outgrown_;  // in use by ops under way, until the outermost mark ends
  size_t used_ = 0;
  size_t peak_ = 0;
};

class Gemm;  // gemm.cc

/// Device, stream and scratch of one backend. Used by one thread.
class Runtime {
 public:
  /// Throws DeviceError when there is no such device.
  explicit Runtime(int device);
  /// For planning: ops count their scratch and launch nothing.
  Runtime();
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// False when planning: nothing may be launched then.
  bool computes() const { return stream_ != nullptr; }
  cudaStream_t stream() const { return stream_; }
  Workspace& workspace() { return workspace_; }
  Gemm& gemm() { return *gemm_; }

  int device() const { return device_; }
  /// Streaming multiprocessors; 132 when planning.
  int multiprocessors() const { return multiprocessors_; }
  /// 10 · major + minor.
  int compute_capability() const { return compute_capability_; }
  const std::string& name() const { return name_; }

  void copy_to_device(const void* host, const View& destination);
  /// Waits for everything before it.
  void copy_to_host(const View& source, void* host);
  void copy(const View& source, const View& destination);
  void fill_zero(const View& destination);
  void synchronize();

 private:
  int device_ = -1;
  int multiprocessors_ = 132;
  int compute_capability_ = 80;
  std::string name_;
  cudaStream_t stream_ = nullptr;
  Workspace workspace_;
  std::unique_ptr<Gemm> gemm_;
};

}  // namespace reformer::cuda
