// The configuration of a run: Protobuf text format, checked and resolved. Start here; the other
// headers of this folder are its parts, in the order of work: text_parser, overrides, limits,
// validate, resolve.
#pragma once

#include <string>
#include <vector>

#include "configs/run.pb.h"
#include "trainer/model/model_spec.h"

namespace reformer {

struct RunConfig {
  config::Run run;   // every default written out, and nothing that has no effect
  ModelSpec model;   // follows from `run`
  std::string path;  // of the file, as it was given
};

/// Reads the file `path` and puts `overrides` ("model.layers=4", overrides.h) in place of what it
/// says. Throws ConfigError, whose one line names the file and line (or the override), the field,
/// what is wrong and what is legal.
RunConfig load_config(const std::string& path, const std::vector<std::string>& overrides);

/// The same for text that is at hand. `name` stands for the file in messages, and its folder is
/// where a relative data.path starts.
RunConfig parse_config(const std::string& text, const std::string& name,
                       const std::vector<std::string>& overrides);

/// Text that parse_config turns into the same RunConfig. REQUIRES: `run` is that of a RunConfig.
std::string to_text(const config::Run& run);

}  // namespace reformer
