#include "launch/doctor/processor.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iterator>

#include <fmt/format.h>
#include <unistd.h>

#include "kernels/core/cores.h"
#include "trainer/control_group.h"

namespace reformer::doctor {
namespace {

int count_gpus() {
  std::error_code error;
  const std::filesystem::directory_iterator gpus("/proc/driver/nvidia/gpus", error);
  return error ? 0 : static_cast<int>(std::distance(begin(gpus), end(gpus)));
}

Finding judge_instructions(const ProcessorFacts& facts) {
  if (!facts.avx2) {
    return problem("instructions", "this processor lacks AVX2, FMA or BMI2",
                   "use an x86-64 processor of 2015 or later");
  }
  return ok("instructions", facts.avx512 ? "AVX2 and AVX-512" : "AVX2");
}

Finding judge_cores(const ProcessorFacts& facts) {
  const std::string usable =
      facts.usable_cores == facts.machine_cores
          ? fmt::format("all {} usable", facts.machine_cores)
          : fmt::format("{} of {} usable", facts.usable_cores, facts.machine_cores);
  if (facts.allowed_cores && *facts.allowed_cores < facts.usable_cores) {
    return warning(
        "cores",
        fmt::format("{}, but the control group allows {:.1f} of them: threads beyond wait", usable,
                    *facts.allowed_cores),
        fmt::format("--set execution.threads={}",
                    std::max(1, static_cast<int>(*facts.allowed_cores))));
  }
  return ok("cores", usable);
}

Finding judge_load(const ProcessorFacts& facts) {
  // A rank waits for the slowest, so half a core taken by others is felt.
  if (facts.load > 0.5 * facts.usable_cores) {
    return warning("load",
                   fmt::format("{:.1f} processes wanted to run in the last minute, on {} cores",
                               facts.load, facts.usable_cores),
                   "end other programs, or expect steps to take longer");
  }
  return ok("load", fmt::format("{:.1f} in the last minute", facts.load));
}

Finding judge_gpus(const ProcessorFacts& facts) {
  return ok("GPU", facts.gpus == 0
                       ? "none, and none is needed: the CPU computes"
                       : fmt::format("{} found, none is used: the CPU computes", facts.gpus));
}

}  // namespace

ProcessorFacts look_at_processor() {
  double load = 0;
  getloadavg(&load, 1);
  return {.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi2"),
          .avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"),
          .usable_cores = static_cast<int>(usable_cores().size()),
          .machine_cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)),
          .allowed_cores = read_control_group().cores,
          .load = load,
          .gpus = count_gpus()};
}

std::vector<Finding> judge(const ProcessorFacts& facts) {
  return {judge_instructions(facts), judge_cores(facts), judge_load(facts), judge_gpus(facts)};
}

}  // namespace reformer::doctor
