// A few steps of training, without files.
#pragma once

#include <vector>

#include "comm/communicator.h"
#include "kernels/backend.h"
#include "trainer/config/config.h"

namespace reformer {

struct ShortTraining {
  std::vector<double> losses;  // of every step, nats per token
  Tensor parameters;           // afterwards, flat
  size_t arena_bytes = 0;      // most that was in use
};

/// All steps of the run, from the start. Takes the memory that plan_training says, of which more
/// would throw. Collective.
ShortTraining train_shortly(const RunConfig& config, Communicator& communicator, Backend& backend);

}  // namespace reformer
