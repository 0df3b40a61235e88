#include "launch/doctor/software.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <memory>

#include <fmt/format.h>
#include <google/protobuf/stubs/common.h>

#include "kernels/cpu/cpu_backend.h"
#include "trainer/gemm_rate.h"

namespace reformer::doctor {
namespace {

// Cores without AVX2 that OpenBLAS has kernels for: a processor of today taken for one of these
// multiplies at a fraction of its speed.
constexpr const char* kSlowCores[] = {"Generic",    "Prescott",   "Core2",      "Penryn",
                                      "Dunnington", "Atom",       "Nehalem",    "Athlon",
                                      "Opteron",    "Barcelona",  "Bobcat",     "Sandybridge",
                                      "Bulldozer",  "Piledriver", "Steamroller"};
constexpr double kSlowFlops = 10e9;

Finding judge_blas(const SoftwareFacts& facts) {
  const std::string text = fmt::format("{}, for {}", facts.blas, facts.blas_core);
  const bool slow = std::find(std::begin(kSlowCores), std::end(kSlowCores), facts.blas_core) !=
                    std::end(kSlowCores);
  if (!slow) return ok("OpenBLAS", text);
  return warning(
      "OpenBLAS", text + ": it has faster kernels for this processor",
      facts.blas_core_forced ? "unset OPENBLAS_CORETYPE" : "export OPENBLAS_CORETYPE=Haswell");
}

Finding judge_rate(const SoftwareFacts& facts) {
  const std::string text = fmt::format("{:.0f} GFLOP/s on one core", facts.flops_of_core * 1e-9);
  if (facts.flops_of_core >= kSlowFlops) return ok("matrix products", text);
  return warning("matrix products", text + ", where 50 and more are usual",
                 "look for programs that use the cores, for a slow clock, or for an emulator");
}

std::string protobuf_version() {
  return google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION);
}

std::string fmt_version() {
  return fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100);
}

}  // namespace

SoftwareFacts look_at_software() {
  const CpuLibraries libraries = cpu_libraries();
  return {.versions = fmt::format("Protobuf {}, fmt {}, built with GCC {}", protobuf_version(),
                                  fmt_version(), __VERSION__),
          .vector_target = libraries.vector_target,
          .blas = libraries.blas,
          .blas_core = libraries.blas_core,
          .blas_core_forced = std::getenv("OPENBLAS_CORETYPE") != nullptr,
          .flops_of_core = measure_gemm_rate(*make_cpu_backend(1))};
}

std::vector<Finding> judge(const SoftwareFacts& facts) {
  return {ok("libraries", facts.versions), ok("kernels", facts.vector_target), judge_blas(facts),
          judge_rate(facts)};
}

}  // namespace reformer::doctor
