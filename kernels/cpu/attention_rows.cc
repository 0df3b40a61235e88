#include "kernels/cpu/attention_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_rows.cc"
#include "hwy/foreach_target.h"
// Below this line everything is read again for each instruction set.
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reformer::cpu::HWY_NAMESPACE {
namespace {

using D = hn::CappedTag<float, kTileLanes>;
using V = hn::Vec<D>;

int64_t lanes() {
  return static_cast<int64_t>(hn::Lanes(D()));
}

/// Rows of sorted tokens are anywhere in memory: asks for the one that is needed a little later.
HWY_INLINE void prefetch_row(const TokenRows& tokens, int64_t i) {
  constexpr int64_t kAhead = 8;
  constexpr int64_t kCacheLine = 16;
  if (i + kAhead >= tokens.count) return;
  const float* row = tokens.row(i + kAhead);
  for (int64_t j = 0; j < tokens.width; j += kCacheLine) hwy::Prefetch(row + j);
}

void gather_rows(const TokenRows& from, float* tile) {
  const D d;
  const int64_t padded = padded_width(from.width);
  const V scale = hn::Set(d, from.scale);
  for (int64_t i = 0; i < from.count; ++i, tile += padded) {
    prefetch_row(from, i);
    const float* row = from.row(i);
    for_vectors(d, static_cast<size_t>(from.width), [&](size_t column, auto columns) HWY_ATTR {
      hn::Store(hn::Mul(load(d, row + column, columns), scale), d, tile + column);
    });
    for (int64_t j = (from.width + lanes() - 1) / lanes() * lanes(); j < padded; j += lanes()) {
      hn::Store(hn::Zero(d), d, tile + j);
    }
  }
}

void scatter_rows(const float* tile, const TokenRows& to, bool add) {
  const D d;
  const int64_t padded = padded_width(to.width);
  const V scale = hn::Set(d, to.scale);
  for (int64_t i = 0; i < to.count; ++i, tile += padded) {
    prefetch_row(to, i);
    float* row = to.row(i);
    for_vectors(d, static_cast<size_t>(to.width), [&](size_t column, auto columns) HWY_ATTR {
      const V value = hn::Add(hn::Mul(hn::Load(d, tile + column), scale), hn::Zero(d));
      store(d, add ? hn::Add(load(d, row + column, columns), value) : value, row + column, columns);
    });
  }
}

void transpose_lanes(const float* rows, int64_t width, float* columns) {
  const hn::FixedTag<float, 4> d;
  const hn::FixedTag<uint64_t, 2> pairs;
  const auto pair = [&](auto v) HWY_ATTR { return hn::BitCast(pairs, v); };
  const auto single = [&](auto v) HWY_ATTR { return hn::BitCast(d, v); };
  for (int64_t i = 0; i < kTileLanes; i += 4, rows += 4 * width, columns += 4) {
    for (int64_t j = 0; j < width; j += 4) {
      const auto row0 = hn::Load(d, rows + j);
      const auto row1 = hn::Load(d, rows + j + width);
      const auto row2 = hn::Load(d, rows + j + 2 * width);
      const auto row3 = hn::Load(d, rows + j + 3 * width);
      const auto low01 = pair(hn::InterleaveLower(d, row0, row1));
      const auto low23 = pair(hn::InterleaveLower(d, row2, row3));
      const auto high01 = pair(hn::InterleaveUpper(d, row0, row1));
      const auto high23 = pair(hn::InterleaveUpper(d, row2, row3));
      float* to = columns + j * kTileLanes;
      hn::Store(single(hn::InterleaveLower(pairs, low01, low23)), d, to);
      hn::Store(single(hn::InterleaveUpper(pairs, low01, low23)), d, to + kTileLanes);
      hn::Store(single(hn::InterleaveLower(pairs, high01, high23)), d, to + 2 * kTileLanes);
      hn::Store(single(hn::InterleaveUpper(pairs, high01, high23)), d, to + 3 * kTileLanes);
    }
  }
}

void square_lanes(const float* columns, int64_t width, float* squares) {
  const D d;
  for (int64_t lane = 0; lane < kTileLanes; lane += lanes()) {
    V sum = hn::Zero(d);
    for (int64_t j = 0; j < width; ++j) {
      const V column = hn::Load(d, columns + j * kTileLanes + lane);
      sum = hn::MulAdd(column, column, sum);
    }
    hn::StoreU(sum, d, squares + lane);
  }
}

float dot_row(const float* a, const float* b, int64_t width) {
  const D d;
  return sum_vectors(d, static_cast<size_t>(width), [&](size_t column, auto columns) HWY_ATTR {
    return hn::Mul(load(d, a + column, columns), load(d, b + column, columns));
  });
}

void dot_rows(const float* a, const float* b, int64_t count, int64_t width, float* dots) {
  for (int64_t i = 0; i < count; ++i) dots[i] = dot_row(a + i * width, b + i * width, width);
}

void scale_rows(const float* factors, int64_t count, int64_t width, float* rows) {
  const D d;
  for (int64_t i = 0; i < count; ++i, rows += width) {
    const V factor = hn::Set(d, factors[i]);
    for (int64_t j = 0; j < width; j += lanes()) {
      hn::Store(hn::Mul(hn::Load(d, rows + j), factor), d, rows + j);
    }
  }
}

void add_scaled_rows(const ScaledRows& a, const ScaledRows& b, int64_t count, int64_t width,
                     float* sums) {
  const D d;
  for (int64_t i = 0; i < count; ++i) {
    const V a_factor = hn::Set(d, a.factors[i]);
    const V b_factor = hn::Set(d, b.factors[i]);
    for (int64_t at = i * width; at < (i + 1) * width; at += lanes()) {
      const V scaled = hn::Mul(hn::Load(d, b.rows + at), b_factor);
      hn::Store(hn::MulAdd(hn::Load(d, a.rows + at), a_factor, scaled), d, sums + at);
    }
  }
}

void unit_rows_backward(const float* units, const float* inverse_norms, int64_t count,
                        int64_t width, float* gradients) {
  const D d;
  for (int64_t i = 0; i < count; ++i, units += width, gradients += width) {
    const V along = hn::Set(d, dot_row(gradients, units, width));
    const V inverse = hn::Set(d, inverse_norms[i]);
    for (int64_t j = 0; j < width; j += lanes()) {
      const V across = hn::NegMulAdd(along, hn::Load(d, units + j), hn::Load(d, gradients + j));
      hn::Store(hn::Mul(across, inverse), d, gradients + j);
    }
  }
}

}  // namespace
}  // namespace reformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reformer::cpu {

HWY_EXPORT(gather_rows);
HWY_EXPORT(scatter_rows);
HWY_EXPORT(transpose_lanes);
HWY_EXPORT(square_lanes);
HWY_EXPORT(dot_rows);
HWY_EXPORT(scale_rows);
HWY_EXPORT(add_scaled_rows);
HWY_EXPORT(unit_rows_backward);

void gather_rows(const TokenRows& from, float* tile) {
  HWY_DYNAMIC_DISPATCH(gather_rows)(from, tile);
}

void scatter_rows(const float* tile, const TokenRows& to, bool add) {
  HWY_DYNAMIC_DISPATCH(scatter_rows)(tile, to, add);
}

void transpose_lanes(const float* rows, int64_t width, float* columns) {
  HWY_DYNAMIC_DISPATCH(transpose_lanes)(rows, width, columns);
}

void square_lanes(const float* columns, int64_t width, float* squares) {
  HWY_DYNAMIC_DISPATCH(square_lanes)(columns, width, squares);
}

void dot_rows(const float* a, const float* b, int64_t count, int64_t width, float* dots) {
  HWY_DYNAMIC_DISPATCH(dot_rows)(a, b, count, width, dots);
}

void scale_rows(const float* factors, int64_t count, int64_t width, float* rows) {
  HWY_DYNAMIC_DISPATCH(scale_rows)(factors, count, width, rows);
}

void add_scaled_rows(const ScaledRows& a, const ScaledRows& b, int64_t count, int64_t width,
                     float* sums) {
  HWY_DYNAMIC_DISPATCH(add_scaled_rows)(a, b, count, width, sums);
}

void unit_rows_backward(const float* units, const float* inverse_norms, int64_t count,
                        int64_t width, float* gradients) {
  HWY_DYNAMIC_DISPATCH(unit_rows_backward)(units, inverse_norms, count, width, gradients);
}

}  // namespace reformer::cpu
#endif  // HWY_ONCE
