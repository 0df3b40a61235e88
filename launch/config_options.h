// How commands that begin with a configuration take it.
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace reformer {

/// The configuration file, and --set for what is to be otherwise than it says; see load_config().
/// Both must outlive parsing.
void add_config_options(CLI::App& app, std::string& file, std::vector<std::string>& overrides);

}  // namespace reformer
