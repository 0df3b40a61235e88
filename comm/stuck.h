// The end of a process that cannot go on by itself: one of its threads does not come out of a
// library, where it may still touch memory.
#pragma once

#include <string>

namespace reformer {

/// The exit status then: that of a CommError.
inline constexpr int kStuckStatus = 6;

/// Says why and leaves at once, without destructors. The launcher then ends the other ranks.
[[noreturn]] void end_stuck_process(const std::string& reason);

}  // namespace reformer
