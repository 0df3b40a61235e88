// Vectors over the columns of a row, for the kernels that Highway compiles once per instruction set
// (foreach_target.h). A row of any width is whole vectors and, at most, one part of a vector; the
// two differ by type, so that the inner loops have no branch for the part.
#include "hwy/highway.h"

#if defined(REFORMER_KERNELS_CPU_VECTOR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REFORMER_KERNELS_CPU_VECTOR_INL_H_
#undef REFORMER_KERNELS_CPU_VECTOR_INL_H_
#else
#define REFORMER_KERNELS_CPU_VECTOR_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/core/fixed_point.h"

HWY_BEFORE_NAMESPACE();
namespace reformer::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// All lanes of a vector are columns of the row.
struct Whole {};
/// Only the first `lanes` lanes are, 0 < lanes < Lanes(d).
struct Part {
  size_t lanes;
};

template <class D, typename T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load(D d, const T* from, Whole) {
  return hn::LoadU(d, from);
}

/// Lanes past the part are 0. Does not touch memory past it.
template <class D, typename T = hn::TFromD<D>>
HWY_INLINE hn::Vec<D> load(D d, const T* from, Part part) {
  HWY_ALIGN T lanes[hn::MaxLanes(d)] = {};
  std::memcpy(lanes, from, part.lanes * sizeof(T));
  return hn::Load(d, lanes);
}

template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void store(D d, hn::Vec<D> value, T* to, Whole) {
  hn::StoreU(value, d, to);
}

template <class D, typename T = hn::TFromD<D>>
HWY_INLINE void store(D d, hn::Vec<D> value, T* to, Part part) {
  HWY_ALIGN T lanes[hn::MaxLanes(d)];
  hn::Store(value, d, lanes);
  std::memcpy(to, lanes, part.lanes * sizeof(T));
}

/// Elements of a residual stream as floats, equal to stream_to_float.
template <class D, class Columns>
HWY_INLINE hn::Vec<D> load_float(D d, const float* from, Columns columns) {
  return load(d, from, columns);
}
template <class D, class Columns>
HWY_INLINE hn::Vec<D> load_float(D d, const uint32_t* from, Columns columns) {
  const hn::RebindToUnsigned<D> du;
  const hn::RebindToSigned<D> di;
  const auto integers = hn::BitCast(di, load(du, from, columns));
  return hn::Mul(hn::ConvertTo(d, integers), hn::Set(d, kStreamStep));
}

/// `value` with the lanes past a part replaced by those of `rest`.
template <class D>
HWY_INLINE hn::Vec<D> with_rest(D, hn::Vec<D> value, hn::Vec<D>, Whole) {
  return value;
}
template <class D>
HWY_INLINE hn::Vec<D> with_rest(D d, hn::Vec<D> value, hn::Vec<D> rest, Part part) {
  return hn::IfThenElse(hn::FirstN(d, part.lanes), value, rest);
}

/// Calls body(column, Whole or Part) for each vector of a row of `count` columns.
template <class D, class Body>
HWY_INLINE void for_vectors(D d, size_t count, const Body& body) {
  const size_t lanes = hn::Lanes(d);
  size_t column = 0;
  for (; column + lanes <= count; column += lanes) body(column, Whole{});
  if (column < count) body(column, Part{count - column});
}

/// Σ of the lanes of term(column, Whole or Part) over a row of `count` columns. Four independent
/// sums hide the latency of the additions.
template <class D, class Term>
HWY_INLINE float sum_vectors(D d, size_t count, const Term& term) {
  const size_t lanes = hn::Lanes(d);
  auto sum0 = hn::Zero(d);
  auto sum1 = hn::Zero(d);
  auto sum2 = hn::Zero(d);
  auto sum3 = hn::Zero(d);
  size_t column = 0;
  for (; column + 4 * lanes <= count; column += 4 * lanes) {
    sum0 = hn::Add(sum0, term(column, Whole{}));
    sum1 = hn::Add(sum1, term(column + lanes, Whole{}));
    sum2 = hn::Add(sum2, term(column + 2 * lanes, Whole{}));
    sum3 = hn::Add(sum3, term(column + 3 * lanes, Whole{}));
  }
  for (; column + lanes <= count; column += lanes) sum0 = hn::Add(sum0, term(column, Whole{}));
  if (column < count) sum1 = hn::Add(sum1, term(column, Part{count - column}));
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
}

}  // namespace reformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // REFORMER_KERNELS_CPU_VECTOR_INL_H_
