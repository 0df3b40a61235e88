#include "kernels/cuda/runtime.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "kernels/core/check.h"
#include "kernels/core/errors.h"
#include "kernels/cuda/gemm.h"

namespace reformer::cuda {
namespace {

constexpr size_t kAlignment = 256;

size_t aligned(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

void check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  throw DeviceError(
      fmt::format("[cuda] {}: {} ({})", call, cudaGetErrorString(error), cudaGetErrorName(error)));
}

// ---- DeviceMemory ----------------------------------------------------------------------------

DeviceMemory::DeviceMemory(size_t bytes) : bytes_(bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, std::max<size_t>(bytes, 1));
  if (error == cudaErrorMemoryAllocation) {
    size_t free = 0;
    size_t total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    throw DeviceError(fmt::format(
        "[cuda] {} bytes of device memory cannot be had: {} of {} are free", bytes, free, total));
  }
  check(error, "cudaMalloc");
  data_ = static_cast<std::byte*>(memory);
}

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

DeviceMemory::~DeviceMemory() {
  if (data_ != nullptr) cudaFree(data_);
}

std::byte* DeviceMemory::release() {
  bytes_ = 0;
  return std::exchange(data_, nullptr);
}

// ---- Workspace -------------------------------------------------------------------------------

void Workspace::reserve(size_t bytes) {
  CHECK_EQ(used_, 0u);
  if (counts_only_ || bytes <= memory_.bytes()) return;
  memory_ = DeviceMemory();
  memory_ = DeviceMemory(bytes);
}

void Workspace::grow(size_t bytes) {
  if (memory_.bytes() > 0) outgrown_.push_back(std::move(memory_));
  memory_ = DeviceMemory(bytes);
}

View Workspace::allocate(DType dtype, const Shape& shape) {
  const size_t begin = used_;
  used_ += aligned(static_cast<size_t>(shape.elements()) * size_of(dtype));
  peak_ = std::max(peak_, used_);
  if (counts_only_) return View(reinterpret_cast<void*>(kAlignment + begin), dtype, shape);
  // What was handed out before stays where it is, in the outgrown block.
  if (used_ > memory_.bytes()) grow(used_);
  return View(memory_.data() + begin, dtype, shape);
}

Workspace::Mark::~Mark() {
  workspace_.used_ = used_;
  // cudaFree waits until the device no longer uses them.
  if (used_ == 0) workspace_.outgrown_.clear();
}

// ---- Runtime ---------------------------------------------------------------------------------

Runtime::Runtime(int device) : device_(device), workspace_(/*counts_only=*/false) {
  check(cudaSetDevice(device), "cudaSetDevice");
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  multiprocessors_ = properties.multiProcessorCount;
  compute_capability_ = 10 * properties.major + properties.minor;
  name_ = properties.name;
  if (compute_capability_ < 80) {
    throw DeviceError(
        fmt::format("[cuda] device {} ({}) has compute capability {}.{}; 8.0 or newer is needed",
                    device, name_, properties.major, properties.minor));
  }
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  gemm_ = std::make_unique<Gemm>(*this);
}

Runtime::Runtime() : workspace_(/*counts_only=*/true), gemm_(std::make_unique<Gemm>(*this)) {}

Runtime::~Runtime() {
  gemm_.reset();
  if (stream_ == nullptr) return;
  cudaStreamSynchronize(stream_);
  cudaStreamDestroy(stream_);
}

void Runtime::copy_to_device(const void* host, const View& destination) {
  if (!computes() || destination.bytes() == 0) return;
  check(cudaMemcpyAsync(destination.raw(), host, destination.bytes(), cudaMemcpyHostToDevice,
                        stream_),
        "cudaMemcpyAsync to the device");
}

void Runtime::copy_to_host(const View& source, void* host) {
  if (!computes()) {
    std::fill_n(static_cast<std::byte*>(host), source.bytes(), std::byte{0});
    return;
  }
  if (source.bytes() > 0) {
    check(cudaMemcpyAsync(host, source.raw(), source.bytes(), cudaMemcpyDeviceToHost, stream_),
          "cudaMemcpyAsync to the host");
  }
  synchronize();
}

void Runtime::copy(const View& source, const View& destination) {
  CHECK_EQ(source.bytes(), destination.bytes());
  if (!computes() || source.bytes() == 0) return;
  check(cudaMemcpyAsync(destination.raw(), source.raw(), source.bytes(), cudaMemcpyDeviceToDevice,
                        stream_),
        "cudaMemcpyAsync on the device");
}

void Runtime::fill_zero(const View& destination) {
  if (!computes() || destination.bytes() == 0) return;
  check(cudaMemsetAsync(destination.raw(), 0, destination.bytes(), stream_), "cudaMemsetAsync");
}

void Runtime::synchronize() {
  if (computes()) check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

}  // namespace reformer::cuda
