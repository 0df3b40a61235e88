// The exponential function for exponents that are never positive, as softmax and the normal
// distribution need it: half the instructions of hwy/contrib/math.
#include "hwy/highway.h"

#if defined(REFORMER_KERNELS_CPU_EXP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REFORMER_KERNELS_CPU_EXP_INL_H_
#undef REFORMER_KERNELS_CPU_EXP_INL_H_
#else
#define REFORMER_KERNELS_CPU_EXP_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace reformer::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// exp(x) within 2 units in the last place for −86 <= x <= 0; 0 below, where exp(x) < 5e-38; NaN of
/// NaN; undefined for x > 80.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V exp_nonpositive(D d, V x) {
  const hn::RebindToSigned<D> di;
  // x = n · ln 2 + r, |r| <= ln 2 / 2. Adding 1.5 · 2^23 rounds to an integer, and leaves it in the
  // low bits.
  const V shift = hn::Set(d, 0x1.8p23f);
  const V shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), shift);
  const V n = hn::Sub(shifted, shift);
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  // The polynomial of Cephes' expf (Moshier).
  V p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::MulAdd(p, hn::Mul(r, r), hn::Add(r, hn::Set(d, 1.0f)));
  // p · 2^n, by adding n to the exponent of p.
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  const V value = hn::BitCast(d, hn::Add(hn::BitCast(di, p), exponent));
  // Not "zero unless x >= −86": NaN must stay, in its own bits.
  const V at_least = hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -86.0f)), value);
  return hn::IfThenElse(hn::Eq(x, x), at_least, x);
}

}  // namespace reformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // REFORMER_KERNELS_CPU_EXP_INL_H_
