#include "kernels/core/wide_sum.h"

#include <cmath>
#include <limits>

namespace reformer {
namespace {

constexpr int kWordBits = 32;
constexpr int kLowestExponent = -128;
constexpr int kSumWords = WideSum::kWords - 1;
constexpr uint64_t kWordMask = 0xffffffff;

}  // namespace

void WideSum::add(double term) {
  if (term == 0) return;
  if (!(term < 0x1p128)) {
    ++words_[kSumWords];
    return;
  }
  // term = mantissa · 2^(position − 128), mantissa below 2^53.
  int exponent = 0;
  auto mantissa = static_cast<uint64_t>(std::ldexp(std::frexp(term, &exponent), 53));
  int position = exponent - 53 - kLowestExponent;
  if (position < 0) {
    mantissa = position > -64 ? mantissa >> -position : 0;
    position = 0;
  }
  const int word = position / kWordBits;
  const int shift = position % kWordBits;
  const uint64_t low = (mantissa << shift) & kWordMask;
  const uint64_t rest = shift == 0 ? mantissa >> kWordBits : mantissa >> (kWordBits - shift);
  const uint64_t parts[] = {low, rest & kWordMask, rest >> kWordBits};
  for (int i = 0; i < 3; ++i) {
    // Above the highest word there are only zeros, as the term is below 2^128.
    if (word + i < kSumWords)
      words_[static_cast<size_t>(word + i)] += static_cast<int64_t>(parts[i]);
  }
}

void WideSum::add(const WideSum& other) {
  for (size_t word = 0; word < words_.size(); ++word) words_[word] += other.words_[word];
}

double WideSum::value() const {
  if (words_[kSumWords] > 0) return std::numeric_limits<double>::infinity();
  double sum = 0;
  for (int word = 0; word < kSumWords; ++word) {
    sum += std::ldexp(static_cast<double>(words_[static_cast<size_t>(word)]),
                      kLowestExponent + kWordBits * word);
  }
  return sum;
}

}  // namespace reformer
