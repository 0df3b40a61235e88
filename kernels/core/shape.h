// Extents of a dense row-major tensor, up to five dimensions, without heap memory.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <span>

#include "kernels/core/check.h"

namespace reformer {

class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;

  /// REQUIRES: at most kMaxRank extents, none negative.
  Shape(std::initializer_list<int64_t> extents)
      : Shape(std::span(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const int64_t> extents) {
    CHECK_LE(extents.size(), static_cast<size_t>(kMaxRank));
    for (int64_t extent : extents) {
      CHECK_GE(extent, 0);
      extents_[static_cast<size_t>(rank_++)] = extent;
    }
  }

  int rank() const { return rank_; }

  /// REQUIRES: 0 <= i < rank().
  int64_t operator[](int i) const {
    CHECK(i >= 0 && i < rank_);
    return extents_[static_cast<size_t>(i)];
  }

  /// Number of elements; 1 for rank 0.
  int64_t elements() const {
    int64_t product = 1;
    for (int i = 0; i < rank_; ++i) product *= extents_[static_cast<size_t>(i)];
    return product;
  }

  /// The same shape with extent `extent` in dimension 0. REQUIRES: rank() >= 1.
  Shape with_rows(int64_t extent) const {
    CHECK_GE(rank_, 1);
    Shape result = *this;
    result.extents_[0] = extent;
    return result;
  }

  friend bool operator==(const Shape& a, const Shape& b) {
    return a.rank_ == b.rank_ && a.extents_ == b.extents_;
  }

  friend std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    out << '[';
    for (int i = 0; i < shape.rank_; ++i) out << (i ? ", " : "") << shape[i];
    return out << ']';
  }

 private:
  std::array<int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

}  // namespace reformer
