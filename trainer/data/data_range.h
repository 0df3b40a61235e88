// A stretch of what is counted from 0: tokens of a file, positions of a sequence.
#pragma once

#include <cstdint>

namespace reformer {

/// [begin, end).
struct DataRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

}  // namespace reformer
