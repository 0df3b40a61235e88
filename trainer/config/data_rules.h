// Rules of the data section: what each source needs, and what contradicts it.
#pragma once

#include "configs/run.pb.h"
#include "trainer/config/source.h"

namespace reformer {

/// Throws ConfigError at the first rule that run.data(), with model.vocabulary, breaks. Files are
/// not looked at.
void validate_data(const config::Run& run, const Source& source);

}  // namespace reformer
