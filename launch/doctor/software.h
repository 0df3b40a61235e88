// The libraries that compute, and how fast they do here.
#pragma once

#include <string>
#include <vector>

#include "launch/doctor/finding.h"

namespace reformer::doctor {

struct SoftwareFacts {
  std::string versions = {};       // of libraries, in words
  std::string vector_target = {};  // what Highway chose: "AVX2"
  std::string blas = {};           // "OpenBLAS 0.3.21 …"
  std::string blas_core = {};      // the processor that it takes this one for: "Haswell"
  bool blas_core_forced = false;   // by OPENBLAS_CORETYPE
  double flops_of_core = 0;        // of matrix products, on one core
};

/// Multiplies matrices for a quarter of a second.
SoftwareFacts look_at_software();

std::vector<Finding> judge(const SoftwareFacts& facts);

}  // namespace reformer::doctor
