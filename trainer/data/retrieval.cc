#include "trainer/data/retrieval.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "kernels/core/check.h"

namespace reformer {
namespace {

/// Draws numbers one after the other.
class Draws {
 public:
  explicit Draws(const TaskRandom& random) : random_(random) {}
  int64_t below(int64_t bound) { return random_.below(bound, next_++); }

 private:
  const TaskRandom& random_;
  int64_t next_ = 0;
};

/// `count` different numbers of [0, bound), in random order (Floyd's method, then a shuffle, so
/// that memory does not grow with `bound`).
std::vector<int64_t> draw_distinct(Draws& draws, int64_t bound, int64_t count) {
  std::vector<int64_t> chosen;
  for (int64_t last = bound - count; last < bound; ++last) {
    const int64_t number = draws.below(last + 1);
    const bool taken = std::find(chosen.begin(), chosen.end(), number) != chosen.end();
    chosen.push_back(taken ? last : number);
  }
  for (size_t i = chosen.size(); i > 1; --i) {
    std::swap(chosen[i - 1], chosen[static_cast<size_t>(draws.below(static_cast<int64_t>(i)))]);
  }
  return chosen;
}

}  // namespace

RetrievalDataset::RetrievalDataset(const config::Run& run)
    : TaskDataset(run),
      symbols_(run.data().symbols()),
      pairs_(run.data().pairs()),
      value_length_(run.data().value_length()),
      queries_(run.data().queries()) {
  CHECK_LE(queries_, pairs_);
  CHECK_LE(pairs_, symbols_);
  CHECK_GE(length(), shortest(run.data()));
}

int64_t RetrievalDataset::shortest(const config::Data& data) {
  return data.pairs() * (1 + data.value_length()) + data.queries() * (2 + data.value_length());
}

std::string RetrievalDataset::description() const {
  return fmt::format(
      "retrieval task: {} of {} pairs asked at the end of {} tokens, values of {} out of {} "
      "symbols, {} held-out sequences",
      queries_, pairs_, length(), value_length_, symbols_, validation_sequences());
}

void RetrievalDataset::make_sequence(const TaskRandom& random, std::span<int32_t> tokens,
                                     std::span<uint8_t> predictable) const {
  Draws draws(random);
  size_t next = 0;
  const auto put = [&](int64_t token) { tokens[next++] = static_cast<int32_t>(token); };

  const std::vector<int64_t> keys = draw_distinct(draws, symbols_, pairs_);
  std::vector<int64_t> values;
  for (const int64_t key : keys) {
    put(1 + key);
    for (int64_t i = 0; i < value_length_; ++i) {
      values.push_back(1 + symbols_ + draws.below(symbols_));
      put(values.back());
    }
  }
  const std::vector<int64_t> asked = draw_distinct(draws, pairs_, queries_);
  const size_t questions = tokens.size() - static_cast<size_t>(queries_ * (2 + value_length_));
  while (next < questions) put(1 + 2 * symbols_ + draws.below(symbols_));
  for (const int64_t pair : asked) {
    put(0);
    put(1 + keys[static_cast<size_t>(pair)]);
    for (int64_t i = 0; i < value_length_; ++i) {
      predictable[next] = 1;
      put(values[static_cast<size_t>(pair * value_length_ + i)]);
    }
  }
}

}  // namespace reformer
