// Ranks that were started with different files, or of which one is in trouble, find out together:
// whatever is wrong on one rank is then thrown on all of them, and said once.
#pragma once

#include <string>
#include <utility>

#include "comm/communicator.h"

namespace reformer {

/// The complaint of the lowest rank that has one, the same on every rank; empty if none has.
/// Collective.
std::string first_complaint(Communicator& communicator, const std::string& complaint,
                            const std::string& tag);

/// A complaint about the first rank, and the first line, where `text` is not that of rank 0; empty
/// if it is the same everywhere. `what` is, in words, what the text is. Collective.
std::string find_disagreement(Communicator& communicator, const std::string& what,
                              const std::string& text);

/// The line of each text in which they first differ, without leading spaces; empty where a text has
/// no such line. REQUIRES: they differ.
std::pair<std::string, std::string> first_difference(const std::string& a, const std::string& b);

}  // namespace reformer
