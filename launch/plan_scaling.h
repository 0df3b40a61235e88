// What `reformer plan` says of other numbers of ranks: predicted for a machine that is described,
// or beside what this machine takes.
#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "launch/plan_measure.h"
#include "trainer/config/config.h"

namespace reformer {

struct ScalingArguments {
  std::string machine;        // --scaling: a file to predict for
  MeasureArguments measured;  // --measure, --steps

  bool any() const { return !machine.empty() || !measured.machine.empty(); }
};

void add_scaling_options(CLI::App& app, ScalingArguments& arguments);

/// Prints what was asked for, as one rank of the job; rank 0 does. Returns an ExitCode.
int run_scaling(const ScalingArguments& arguments, const RunConfig& config);

}  // namespace reformer
