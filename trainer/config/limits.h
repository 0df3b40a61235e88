// The range of each single number, from the `limits` options in configs/run.proto.
#pragma once

#include "configs/run.pb.h"
#include "trainer/config/source.h"

namespace reformer {

/// Throws ConfigError for the first number of `run` that is outside its limits or not finite.
void check_limits(const config::Run& run, const Source& source);

}  // namespace reformer
