// Operations between ranks whose memory is all in reach.
#pragma once

#include <span>
#include <string>

#include "comm/operation.h"

namespace reformer::threads {

/// The same operation as each rank gave it, by rank.
using Operations = std::span<const Operation>;

/// Why they are not the same operation, in words; empty if they are.
std::string disagreement(const Operations& operations);

/// Does it for all ranks. Nothing to do for kBarrier and kSplit. REQUIRES: no disagreement.
void carry_out(const Operations& operations);

/// One message. REQUIRES: equal dtypes and counts.
void deliver(const Operation& send, const Operation& receive);

}  // namespace reformer::threads
