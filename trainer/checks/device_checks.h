// Checks of a device against the CPU backend, and what its ops reach of what it can do.
#pragma once

#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/op_cost.h"
#include "trainer/checks/check.h"
#include "trainer/checks/op_cases.h"
#include "trainer/config/config.h"

namespace reformer {

/// One op on the device against the same op on the CPU.
struct OpComparison {
  std::string op;
  DType activations = DType::kFloat32;  // on the device
  double error = 0;                     // see OpCase
  double bound = 0;

  bool holds() const { return error <= bound; }
};

/// Every op, with activations in Float32 and, where the device computes in it, in BFloat16.
std::vector<OpComparison> compare_ops(Backend& cpu, const BackendMaker& make_device,
                                      const OpScale& scale);
CheckResult summary_of(const std::vector<OpComparison>& comparisons);

/// `config` trained on the CPU and, with activations of `compute`, on the device: the largest
/// difference of the losses of a step.
CheckResult check_training(const RunConfig& config, Backend& cpu, Backend& device, DType compute);

/// `config` trained on a new device: arena and workspace take no more than was planned.
CheckResult check_memory(const RunConfig& config, const BackendMaker& make_device);

/// All calls of one op in a training step.
struct OpTime {
  std::string op;
  int64_t calls = 0;
  double seconds = 0;  // with one wait for the device after each call
  OpCost cost{};
};

/// One step of `config` after a step to warm up, longest op first.
std::vector<OpTime> time_ops(const RunConfig& config, Backend& device);

/// The same without running anything: calls and costs, seconds 0, in the order of first use. `like`
/// is a backend or a planner.
std::vector<OpTime> count_ops(const RunConfig& config, const Backend& like);

}  // namespace reformer
