#include "kernels/core/check.h"

#include <cstdio>
#include <cstdlib>

namespace reformer::internal {

void check_failed(const char* file, int line, const std::string& message) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, message.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace reformer::internal
