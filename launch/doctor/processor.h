// Instructions, cores, and who else uses them.
#pragma once

#include <optional>
#include <vector>

#include "launch/doctor/finding.h"

namespace reformer::doctor {

struct ProcessorFacts {
  bool avx2 = false;    // with FMA and BMI2, the baseline of the build
  bool avx512 = false;  // the subsets that vector kernels use
  int usable_cores = 0;
  int machine_cores = 0;
  std::optional<double> allowed_cores = {};  // processor time that the control group gives
  double load = 0;                           // processes that wanted to run in the last minute
  int gpus = 0;                              // of NVIDIA
};

ProcessorFacts look_at_processor();

std::vector<Finding> judge(const ProcessorFacts& facts);

}  // namespace reformer::doctor
