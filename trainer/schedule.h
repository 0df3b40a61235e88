// The learning rate as a function of the step.
#pragma once

#include <cstdint>

#include "configs/run.pb.h"

namespace reformer {

/// Rate of step `step`, from 1: linear warm-up to schedule.rate at step `warmup`, then by
/// schedule.kind. LINEAR and COSINE reach final_rate at step training.steps.
double learning_rate(const config::Training& training, int64_t step);

}  // namespace reformer
