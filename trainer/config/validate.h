// Rules that tie fields together.
#pragma once

#include "configs/run.pb.h"
#include "trainer/config/source.h"

namespace reformer {

/// Throws ConfigError for the first rule that `run`, as it was written, breaks. REQUIRES: every
/// number of `run` is within its limits.
void validate(const config::Run& run, const Source& source);

}  // namespace reformer
