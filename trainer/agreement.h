// Ranks that were started with different files would train something nobody asked for.
#pragma once

#include <string>

#include "comm/communicator.h"

namespace reformer {

/// Throws ConfigError, the same on every rank, unless `text` is the same everywhere. The message
/// names the first rank that differs, and the first line in which it does. `what` is, in words,
/// what the text is. Collective.
void require_same_on_all_ranks(Communicator& communicator, const std::string& what,
                               const std::string& text);

/// The line of each text in which they first differ, without leading spaces; empty where a text has
/// no such line. REQUIRES: they differ.
std::pair<std::string, std::string> first_difference(const std::string& a, const std::string& b);

}  // namespace reformer
