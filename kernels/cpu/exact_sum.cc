#include "kernels/cpu/exact_sum.h"

#include <algorithm>
#include <atomic>

#include "kernels/core/check.h"
#include "kernels/core/fixed_point.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/exact_sum.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h, which compiles this file once for each target.
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace reformer::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The double 1.5 · 2^52 + q has the integer q in its low bits for |q| <= 2^51: adding it rounds to
// nearest even, which AVX2, without a conversion of doubles to int64, would have to do in scalars.
constexpr double kMagic = 0x1.8p52;
constexpr double kMagicRange = 0x1p51;

int64_t add_exact(const float* partial, int64_t* gradient, int64_t count, double limit) {
  const hn::ScalableTag<double> doubles;
  const hn::RebindToSigned<decltype(doubles)> integers;
  const hn::Rebind<float, decltype(doubles)> floats;
  const auto lanes = static_cast<int64_t>(hn::Lanes(doubles));
  const auto scale = hn::Set(doubles, kSumScale);
  const auto magic = hn::Set(doubles, kMagic);
  const auto magic_bits = hn::BitCast(integers, magic);
  // Rounding moves a term by at most 1/2, so terms below limit − 1 stay below the limit.
  const auto bound = hn::Set(doubles, std::min(kMagicRange, limit - 1));

  int64_t faults = 0;
  const auto add_scalars = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      bool overflowed = false;
      gradient[i] += sum_term(static_cast<double>(partial[i]), limit, &overflowed);
      faults += overflowed ? 1 : 0;
    }
  };
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto scaled = hn::Mul(hn::PromoteTo(doubles, hn::LoadU(floats, partial + i)), scale);
    if (!hn::AllTrue(doubles, hn::Lt(hn::Abs(scaled), bound))) {  // large, or NaN
      add_scalars(i, i + lanes);
      continue;
    }
    const auto term = hn::Sub(hn::BitCast(integers, hn::Add(scaled, magic)), magic_bits);
    hn::StoreU(hn::Add(hn::LoadU(integers, gradient + i), term), integers, gradient + i);
  }
  add_scalars(i, count);
  return faults;
}

void add_floats(const float* partial, float* gradient, int64_t count) {
  const hn::ScalableTag<float> floats;
  const auto lanes = static_cast<int64_t>(hn::Lanes(floats));
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto sum = hn::Add(hn::LoadU(floats, gradient + i), hn::LoadU(floats, partial + i));
    hn::StoreU(sum, floats, gradient + i);
  }
  for (; i < count; ++i) gradient[i] += partial[i];
}

}  // namespace reformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reformer::cpu {

HWY_EXPORT(add_exact);
HWY_EXPORT(add_floats);

void add_partial(std::span<const float> partial, const View& gradient, int64_t offset,
                 const GradientSum& sum) {
  const auto count = static_cast<int64_t>(partial.size());
  CHECK(0 <= offset && offset + count <= gradient.elements());
  if (gradient.dtype() == DType::kFloat32) {
    HWY_DYNAMIC_DISPATCH(add_floats)(partial.data(), gradient.data<float>() + offset, count);
    return;
  }
  const int64_t faults = HWY_DYNAMIC_DISPATCH(add_exact)(
      partial.data(), gradient.data<int64_t>() + offset, count, sum.limit);
  if (faults == 0) return;
  int64_t& counter = sum.faults.data<int64_t>()[kSumOverflowed];
  std::atomic_ref<int64_t>(counter).fetch_add(faults, std::memory_order_relaxed);
}

}  // namespace reformer::cpu
#endif  // HWY_ONCE
