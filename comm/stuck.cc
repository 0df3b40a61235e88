#include "comm/stuck.h"

#include <fmt/format.h>
#include <unistd.h>

namespace reformer {

void end_stuck_process(const std::string& reason) {
  fmt::print(stderr, "reformer: error: {}\n", reason);
  _exit(kStuckStatus);
}

}  // namespace reformer
