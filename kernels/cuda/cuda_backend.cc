#include "kernels/cuda/cuda_backend.h"

#include <memory>
#include <utility>

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "kernels/cuda/attention_frame.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/runtime.h"

namespace reformer {
namespace {

std::string version_of(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

/// Multiply-adds of dense BFloat16 products that one multiprocessor does in a clock, as published
/// for A100, H100 and B200; 0 where unknown.
double multiply_adds_per_clock(int compute_capability) {
  switch (compute_capability) {
    case 80:
      return 1024;
    case 90:
      return 2048;
    case 100:
      return 4096;
    default:
      return 0;
  }
}

double attribute(cudaDeviceAttr attribute, int device) {
  int value = 0;
  cuda::check(cudaDeviceGetAttribute(&value, attribute, device), "cudaDeviceGetAttribute");
  return value;
}

/// From its clocks and the arithmetic of its generation.
std::optional<DevicePeaks> peaks_of(int device) {
  const int capability =
      static_cast<int>(10 * attribute(cudaDevAttrComputeCapabilityMajor, device) +
                       attribute(cudaDevAttrComputeCapabilityMinor, device));
  // Clocks are in kHz, and memory moves two words in each.
  const double multiprocessor_clocks = 1e3 * attribute(cudaDevAttrClockRate, device) *
                                       attribute(cudaDevAttrMultiProcessorCount, device);
  const double bits_per_second = 2e3 * attribute(cudaDevAttrMemoryClockRate, device) *
                                 attribute(cudaDevAttrGlobalMemoryBusWidth, device);
  const double flops_per_second = 2 * multiply_adds_per_clock(capability) * multiprocessor_clocks;
  if (flops_per_second == 0 || bits_per_second == 0) return std::nullopt;
  return DevicePeaks{.bytes_per_second = bits_per_second / 8, .flops_per_second = flops_per_second};
}

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(std::unique_ptr<cuda::Runtime> runtime)
      : owned_(std::move(runtime)), runtime_(*owned_) {}

  std::string description() const override {
    return fmt::format("CUDA device {}: {}, compute capability {}.{}, cuBLASLt {}",
                       runtime_.device(), runtime_.name(), runtime_.compute_capability() / 10,
                       runtime_.compute_capability() % 10, cublasLtGetVersion());
  }

  bool computes_in(DType dtype) const override {
    return dtype == DType::kFloat32 || dtype == DType::kBFloat16;
  }

  std::optional<DevicePeaks> peaks() const override {
    if (!runtime_.computes()) return std::nullopt;
    return peaks_of(runtime_.device());
  }

  void* stream() const override { return runtime_.stream(); }

  bool computes() const override { return runtime_.computes(); }
  std::string numeric_identity() const override {
    return fmt::format("cuda/{}/sm_{}/cublaslt-{}", runtime_.name(), runtime_.compute_capability(),
                       cublasLtGetVersion());
  }

  std::unique_ptr<Backend> make_planner() const override { return make_cuda_planner(); }
  size_t workspace_peak() const override { return owned_->workspace().peak(); }
  void reserve_workspace(size_t bytes) override { runtime_.workspace().reserve(bytes); }
  std::optional<size_t> free_device_memory() const override {
    if (!runtime_.computes()) return std::nullopt;
    size_t free = 0;
    size_t total = 0;
    cuda::check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    return free;
  }

  std::unique_ptr<Arena> make_arena(size_t bytes) override {
    if (!runtime_.computes()) return std::make_unique<Arena>(nullptr, bytes);
    std::byte* const base = cuda::DeviceMemory(bytes).release();
    return std::make_unique<Arena>(base, bytes, [base] { cudaFree(base); });
  }

  void upload(const void* host, const View& destination) override {
    runtime_.copy_to_device(host, destination);
  }
  void download(const View& source, void* host) override { runtime_.copy_to_host(source, host); }
  void copy(const View& source, const View& destination) override {
    runtime_.copy(source, destination);
  }
  void fill_zero(const View& destination) override { runtime_.fill_zero(destination); }
  void synchronize() override { runtime_.synchronize(); }

  void linear(const LinearArgs& args) override { cuda::linear(runtime_, args); }
  void linear_backward_input(const LinearBackwardInputArgs& args) override {
    cuda::linear_backward_input(runtime_, args);
  }
  void linear_backward_weight(const LinearBackwardWeightArgs& args) override {
    cuda::linear_backward_weight(runtime_, args);
  }

  void layer_norm(const LayerNormArgs& args) override { cuda::layer_norm(runtime_, args); }
  void layer_norm_backward(const LayerNormBackwardArgs& args) override {
    cuda::layer_norm_backward(runtime_, args);
  }
  void activation(const ActivationArgs& args) override { cuda::activation(runtime_, args); }
  void activation_backward(const ActivationBackwardArgs& args) override {
    cuda::activation_backward(runtime_, args);
  }
  void dropout(const DropoutArgs& args) override { cuda::dropout(runtime_, args); }
  void residual(const ResidualArgs& args) override { cuda::residual(runtime_, args); }
  void join_streams(const JoinStreamsArgs& args) override { cuda::join_streams(runtime_, args); }
  void split_streams(const SplitStreamsArgs& args) override { cuda::split_streams(runtime_, args); }

  void embed(const EmbedArgs& args) override { cuda::embed(runtime_, args); }
  void embed_backward(const EmbedBackwardArgs& args) override {
    cuda::embed_backward(runtime_, args);
  }
  void cross_entropy(const CrossEntropyArgs& args) override { cuda::cross_entropy(runtime_, args); }

  void lsh_hash(const LshHashArgs& args) override { cuda::lsh_hash(runtime_, args); }
  void bucket_sort(const BucketSortArgs& args) override { cuda::bucket_sort(runtime_, args); }
  void attention(const AttentionArgs& args) override { cuda::attention(runtime_, args); }
  void attention_backward(const AttentionBackwardArgs& args) override {
    cuda::attention_backward(runtime_, args);
  }
  void attend_cached(const AttendCachedArgs& args) override { cuda::attend_cached(runtime_, args); }

  int64_t slot_block() const override { return cuda::kBlockSlots; }
  void attention_part(const AttentionPartArgs& args) override {
    cuda::attention_part(runtime_, args);
  }
  void attention_part_backward(const AttentionPartBackwardArgs& args) override {
    cuda::attention_part_backward(runtime_, args);
  }
  void combine_rounds(const CombineRoundsArgs& args) override {
    cuda::combine_rounds(runtime_, args);
  }
  void combine_gradients(const CombineGradientsArgs& args) override {
    cuda::combine_gradients(runtime_, args);
  }
  void head_products(const HeadProductsArgs& args) override { cuda::head_products(runtime_, args); }
  void gather_rows(const GatherRowsArgs& args) override { cuda::gather_rows(runtime_, args); }

  void sum_of_squares(const SumOfSquaresArgs& args) override {
    cuda::sum_of_squares(runtime_, args);
  }
  void adamw(const AdamWArgs& args) override { cuda::adamw(runtime_, args); }
  void adafactor(const AdafactorArgs& args) override { cuda::adafactor(runtime_, args); }

 private:
  std::unique_ptr<cuda::Runtime> owned_;
  cuda::Runtime& runtime_;
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(int device) {
  const CudaStatus status = cuda_status();
  if (device < 0 || device >= status.devices) {
    throw DeviceError(status.devices == 0 ? status.explanation
                                          : fmt::format("there is no CUDA device {}: {}", device,
                                                        status.explanation));
  }
  return std::make_unique<CudaBackend>(std::make_unique<cuda::Runtime>(device));
}

std::unique_ptr<Backend> make_cuda_planner() {
  return std::make_unique<CudaBackend>(std::make_unique<cuda::Runtime>());
}

CudaStatus cuda_status() {
  CudaStatus status{.built = true, .devices = 0, .explanation = {}};
  const cudaError_t error = cudaGetDeviceCount(&status.devices);
  if (error != cudaSuccess || status.devices == 0) {
    status.devices = 0;
    status.explanation =
        fmt::format("there is no CUDA device: {}",
                    error == cudaSuccess ? "the driver sees none" : cudaGetErrorString(error));
    return status;
  }
  int runtime = 0;
  int driver = 0;
  cuda::check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  cuda::check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  cudaDeviceProp properties{};
  cuda::check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  status.explanation = fmt::format("{} CUDA device{}, the first is {}; CUDA {}, driver for {}",
                                   status.devices, status.devices == 1 ? "" : "s", properties.name,
                                   version_of(runtime), version_of(driver));
  return status;
}

}  // namespace reformer
