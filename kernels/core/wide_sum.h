// A sum of non-negative doubles without rounding: order and grouping do not change a bit, so that
// ranks can add up what they have and then add their words.
#pragma once

#include <array>
#include <cstdint>

namespace reformer {

class WideSum {
 public:
  // Word i counts multiples of 2^(32·i − 128); the last word counts terms that are not finite or at
  // least 2^128. Bits of a term below 2^-128 are dropped.
  static constexpr int kWords = 9;
  using Words = std::array<int64_t, kWords>;

  WideSum() = default;
  /// The sum with these words; may be the element-wise sum of several.
  explicit WideSum(const Words& words) : words_(words) {}

  /// Adds a term; 2^31 of them fit. REQUIRES: term >= 0 or NaN.
  void add(double term);

  /// Adds another sum.
  void add(const WideSum& other);

  const Words& words() const { return words_; }

  /// The sum, to a few units in the last place, the same for equal words; infinite if a term was
  /// not finite or too large.
  double value() const;

 private:
  Words words_{};
};

}  // namespace reformer
