#include "trainer/data/duplication.h"

#include <fmt/format.h>

#include "kernels/core/check.h"

namespace reformer {

DuplicationDataset::DuplicationDataset(const config::Run& run)
    : TaskDataset(run), symbols_(run.data().symbols()) {
  CHECK_EQ(length() % 2, 0);
  CHECK_GE(length(), 4);
}

std::string DuplicationDataset::description() const {
  return fmt::format("duplication task: 0w0w of {} tokens, w of {} symbols, {} held-out sequences",
                     length(), symbols_, validation_sequences());
}

void DuplicationDataset::make_sequence(const TaskRandom& random, std::span<int32_t> tokens,
                                       std::span<uint8_t> predictable) const {
  const size_t half = tokens.size() / 2;
  tokens[0] = tokens[half] = 0;
  for (size_t i = 1; i < half; ++i) {
    const int64_t symbol = 1 + random.below(symbols_, static_cast<int64_t>(i));
    tokens[i] = tokens[half + i] = static_cast<int32_t>(symbol);
    predictable[half + i] = 1;
  }
}

}  // namespace reformer
