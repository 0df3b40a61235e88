#include "kernels/cpu/cpu_backend.h"

#include <cerrno>
#include <cstring>

#include <cblas.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include "kernels/core/cores.h"
#include "kernels/core/errors.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/plan_backend.h"

namespace reformer {
namespace {

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(int threads) : pool_(threads) {
    // Parallelism is over tiles; each product runs on the thread that owns its tile.
    openblas_set_num_threads(1);
  }

  std::string description() const override {
    return fmt::format("CPU, {} thread{}, {} kernels, OpenBLAS for {}", pool_.threads(),
                       pool_.threads() == 1 ? "" : "s", cpu::vector_target(),
                       openblas_get_corename());
  }

  bool computes() const override { return true; }
  std::string numeric_identity() const override {
    return fmt::format("cpu/{}/{}/{}", cpu::vector_target(), openblas_get_corename(),
                       openblas_get_config());
  }

  std::unique_ptr<Backend> make_planner() const override { return make_plan_backend(); }

  std::unique_ptr<Arena> make_arena(size_t bytes) override {
    const size_t mapped = bytes == 0 ? 1 : bytes;
    // Untouched pages cost nothing, so the arena may be mapped whole at start.
    void* base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
      throw DeviceError(
          fmt::format("[cpu] cannot map {} bytes of memory: {}", bytes, std::strerror(errno)));
    }
    return std::make_unique<Arena>(base, bytes, [base, mapped] { munmap(base, mapped); });
  }

  void upload(const void* host, const View& destination) override {
    if (destination.bytes() > 0) std::memcpy(destination.raw(), host, destination.bytes());
  }

  void download(const View& source, void* host) override {
    if (source.bytes() > 0) std::memcpy(host, source.raw(), source.bytes());
  }

  void copy(const View& source, const View& destination) override {
    CHECK_EQ(source.bytes(), destination.bytes());
    for_each_block(source.bytes(), [&](size_t begin, size_t size) {
      std::memcpy(static_cast<std::byte*>(destination.raw()) + begin,
                  static_cast<const std::byte*>(source.raw()) + begin, size);
    });
  }

  void fill_zero(const View& destination) override {
    for_each_block(destination.bytes(), [&](size_t begin, size_t size) {
      std::memset(static_cast<std::byte*>(destination.raw()) + begin, 0, size);
    });
  }

  void synchronize() override {}

  void linear(const LinearArgs& args) override { cpu::linear(pool_, args); }
  void linear_backward_input(const LinearBackwardInputArgs& args) override {
    cpu::linear_backward_input(pool_, args);
  }
  void linear_backward_weight(const LinearBackwardWeightArgs& args) override {
    cpu::linear_backward_weight(pool_, args);
  }

  void layer_norm(const LayerNormArgs& args) override { cpu::layer_norm(pool_, args); }
  void layer_norm_backward(const LayerNormBackwardArgs& args) override {
    cpu::layer_norm_backward(pool_, args);
  }
  void activation(const ActivationArgs& args) override { cpu::activation(pool_, args); }
  void activation_backward(const ActivationBackwardArgs& args) override {
    cpu::activation_backward(pool_, args);
  }
  void dropout(const DropoutArgs& args) override { cpu::dropout(pool_, args); }
  void residual(const ResidualArgs& args) override { cpu::residual(pool_, args); }
  void join_streams(const JoinStreamsArgs& args) override { cpu::join_streams(pool_, args); }
  void split_streams(const SplitStreamsArgs& args) override { cpu::split_streams(pool_, args); }

  void embed(const EmbedArgs& args) override { cpu::embed(pool_, args); }
  void embed_backward(const EmbedBackwardArgs& args) override { cpu::embed_backward(pool_, args); }
  void cross_entropy(const CrossEntropyArgs& args) override { cpu::cross_entropy(pool_, args); }

  void lsh_hash(const LshHashArgs& args) override { cpu::lsh_hash(pool_, args); }
  void bucket_sort(const BucketSortArgs& args) override { cpu::bucket_sort(pool_, args); }
  void attention(const AttentionArgs& args) override { cpu::attention(pool_, args); }
  void attention_backward(const AttentionBackwardArgs& args) override {
    cpu::attention_backward(pool_, args);
  }
  void attend_cached(const AttendCachedArgs& args) override { cpu::attend_cached(pool_, args); }
  int64_t slot_block() const override { return 1; }
  void attention_part(const AttentionPartArgs& args) override { cpu::attention_part(pool_, args); }
  void attention_part_backward(const AttentionPartBackwardArgs& args) override {
    cpu::attention_part_backward(pool_, args);
  }
  void combine_rounds(const CombineRoundsArgs& args) override { cpu::combine_rounds(pool_, args); }
  void combine_gradients(const CombineGradientsArgs& args) override {
    cpu::combine_gradients(pool_, args);
  }
  void head_products(const HeadProductsArgs& args) override { cpu::head_products(pool_, args); }
  void gather_rows(const GatherRowsArgs& args) override { cpu::gather_rows(pool_, args); }

  void sum_of_squares(const SumOfSquaresArgs& args) override { cpu::sum_of_squares(pool_, args); }
  void adamw(const AdamWArgs& args) override { cpu::adamw(pool_, args); }
  void adafactor(const AdafactorArgs& args) override { cpu::adafactor(pool_, args); }

 private:
  template <typename Body>
  void for_each_block(size_t bytes, const Body& body) {
    constexpr size_t kBlock = size_t{1} << 20;
    const auto blocks = static_cast<int64_t>((bytes + kBlock - 1) / kBlock);
    pool_.parallel_for(blocks, [&](int64_t index, int) {
      const size_t begin = static_cast<size_t>(index) * kBlock;
      body(begin, std::min(kBlock, bytes - begin));
    });
  }

  cpu::ThreadPool pool_;
};

}  // namespace

CpuLibraries cpu_libraries() {
  return {.vector_target = cpu::vector_target(),
          .blas = openblas_get_config(),
          .blas_core = openblas_get_corename()};
}

std::unique_ptr<Backend> make_cpu_backend(int threads) {
  return std::make_unique<CpuBackend>(threads == 0 ? static_cast<int>(usable_cores().size())
                                                   : threads);
}

}  // namespace reformer
