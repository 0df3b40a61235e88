#include "trainer/data/increment.h"

#include <fmt/format.h>

#include "kernels/core/check.h"

namespace reformer {
namespace {

// Indices of what is drawn for a sequence.
constexpr int64_t kStart = 0;
constexpr int64_t kStride = 1;

}  // namespace

IncrementDataset::IncrementDataset(const config::Run& run)
    : TaskDataset(run), symbols_(run.data().symbols()), max_stride_(run.data().max_stride()) {
  CHECK_GE(length(), 4);
  CHECK_LT(max_stride_, symbols_);
}

std::string IncrementDataset::description() const {
  return fmt::format(
      "increment task: {} tokens that go up by 1 to {}, around {} symbols, {} held-out sequences",
      length(), max_stride_, symbols_, validation_sequences());
}

void IncrementDataset::make_sequence(const TaskRandom& random, std::span<int32_t> tokens,
                                     std::span<uint8_t> predictable) const {
  const int64_t stride = 1 + random.below(max_stride_, kStride);
  int64_t position = random.below(symbols_, kStart);
  tokens[0] = 0;
  for (size_t i = 1; i < tokens.size(); ++i) {
    tokens[i] = static_cast<int32_t>(1 + position);
    predictable[i] = i >= 3;
    position = (position + stride) % symbols_;
  }
}

}  // namespace reformer
