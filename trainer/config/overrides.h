// Values that the command line puts in place of the file's: --set model.layers=4.
#pragma once

#include <string>

#include "configs/run.pb.h"
#include "trainer/config/source.h"

namespace reformer {

/// Applies "path=value" to `run` and notes it in `source`. The value is written as in the file, but
/// text without quotes; a list replaces the whole list: "model.attention_pattern=[LOCAL, LSH]".
/// Without a value, the field or message is as if left out: "optimizer.adamw=". Of several that
/// set the same field the last one holds. Throws ConfigError.
void apply_override(const std::string& argument, config::Run& run, Source& source);

}  // namespace reformer
