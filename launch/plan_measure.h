// `reformer plan --measure`: how well this machine is predicted, on the ranks that are here.
#pragma once

#include <string>

#include "launch/job.h"
#include "trainer/config/config.h"

namespace reformer {

struct MeasureArguments {
  std::string machine;  // a file to write, like those of configs/machines
  int steps = 5;        // that medians are taken of
};

/// Trains for `steps` steps and one before, alone and, where there are several ranks, together as
/// well, in turn: what else the machine does then slows down both. Predicts the steps of all ranks
/// from those of one, prints both, and writes the machine that was found. Rank 0 prints and writes.
/// Throws ConfigError for ranks of several machines, DataError where the file cannot be written.
void measure_machine(const MeasureArguments& arguments, RunConfig config, const RankPlace& place);

}  // namespace reformer
