#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pointwise.cc"
#include "hwy/foreach_target.h"
// Below this line everything is read again for each instruction set.
#include <algorithm>
#include <atomic>
#include <numbers>

#include "hwy/highway.h"
#include "kernels/cpu/dropout-inl.h"
#include "kernels/cpu/exp-inl.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reformer::cpu::HWY_NAMESPACE {
namespace {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// The normal distribution at x: cumulative Φ(x) and density φ(x).
struct Normal {
  V cumulative;
  V density;
};

/// For |x| < 1.25: Φ(x) = 1/2 + x · Q(x²). Beyond: Φ(−|x|) = exp(−x²/2) · P(t), with
/// t = 1 / (1 + 0.4 |x| / √2), the form of Abramowitz and Stegun 7.1.26 with one more term; near 0
/// its rounding alone would exceed the error promised below. Coefficients are fitted to the
/// smallest absolute error: 2.1e-9 and 1.4e-8. With rounding, Φ is within 7e-8. The density uses
/// the same exponential.
HWY_INLINE Normal normal(V x) {
  const D d;
  const V one = hn::Set(d, 1.0f);
  const V half = hn::Set(d, 0.5f);
  const V square = hn::Mul(x, x);
  const V size = hn::Abs(x);

  V q = hn::Set(d, -6.644851771e-6f);
  q = hn::MulAdd(q, square, hn::Set(d, 1.103274231e-4f));
  q = hn::MulAdd(q, square, hn::Set(d, -1.18270956e-3f));
  q = hn::MulAdd(q, square, hn::Set(d, 9.971500748e-3f));
  q = hn::MulAdd(q, square, hn::Set(d, -6.648998548e-2f));
  q = hn::MulAdd(q, square, hn::Set(d, 3.989422587e-1f));
  const V central = hn::MulAdd(x, q, half);

  const V t = hn::Div(
      one, hn::MulAdd(size, hn::Set(d, static_cast<float>(0.4 / std::numbers::sqrt2)), one));
  V p = hn::Set(d, -0.1001299696f);
  p = hn::MulAdd(p, t, hn::Set(d, 0.3545750801f));
  p = hn::MulAdd(p, t, hn::Set(d, -0.1854562611f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.2341389257f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.08091104782f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.1159611632f));
  const V exponential = exp_nonpositive(d, hn::Mul(square, hn::Set(d, -0.5f)));
  const V tail = hn::Mul(hn::Mul(p, t), exponential);
  const V outer = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(one, tail));

  constexpr auto kDensityAt0 = static_cast<float>(std::numbers::inv_sqrtpi / std::numbers::sqrt2);
  return {.cumulative = hn::IfThenElse(hn::Lt(size, hn::Set(d, 1.25f)), central, outer),
          .density = hn::Mul(exponential, hn::Set(d, kDensityAt0))};
}

struct Relu {
  /// NaN stays NaN.
  HWY_INLINE V value(V x) const { return hn::IfThenZeroElse(hn::Le(x, hn::Zero(D())), x); }
  HWY_INLINE V times_slope(V x, V dy) const {
    return hn::IfThenZeroElse(hn::Le(x, hn::Zero(D())), dy);
  }
};

struct Gelu {
  HWY_INLINE V value(V x) const { return hn::Mul(x, normal(x).cumulative); }
  HWY_INLINE V times_slope(V x, V dy) const {
    const Normal at_x = normal(x);
    return hn::Mul(dy, hn::MulAdd(x, at_x.density, at_x.cumulative));
  }
};

template <typename F>
void with_activation(Activation activation, const F& f) {
  switch (activation) {
    case Activation::kRelu:
      return f(Relu{});
    case Activation::kGelu:
      return f(Gelu{});
  }
}

void activation(ThreadPool& pool, const ActivationArgs& args) {
  const D d;
  const auto width = static_cast<size_t>(args.x.shape()[1]);
  const float* x = args.x.data<float>();
  float* y = args.y.data<float>();
  with_activation(args.activation, [&](auto function) {
    for_row_blocks(
        pool, 0, args.layout.rows(), args.x.shape()[1], [&](int64_t begin, int64_t end) HWY_ATTR {
          for_dropout_vectors(args.layout, args.dropout, width, begin, end,
                              [&](int64_t row, size_t column, auto columns, auto drop) HWY_ATTR {
                                const size_t at = static_cast<size_t>(row) * width + column;
                                store(d, drop(function.value(load(d, x + at, columns))), y + at,
                                      columns);
                              });
        });
  });
}

void activation_backward(ThreadPool& pool, const ActivationBackwardArgs& args) {
  const D d;
  const auto width = static_cast<size_t>(args.x.shape()[1]);
  const float* x = args.x.data<float>();
  const float* dy = args.dy.data<float>();
  float* dx = args.dx.data<float>();
  with_activation(args.activation, [&](auto function) {
    for_row_blocks(
        pool, 0, args.layout.rows(), args.x.shape()[1], [&](int64_t begin, int64_t end) HWY_ATTR {
          for_dropout_vectors(args.layout, args.dropout, width, begin, end,
                              [&](int64_t row, size_t column, auto columns, auto drop) HWY_ATTR {
                                const size_t at = static_cast<size_t>(row) * width + column;
                                const V gradient = drop(load(d, dy + at, columns));
                                store(d, function.times_slope(load(d, x + at, columns), gradient),
                                      dx + at, columns);
                              });
        });
  });
}

void dropout(ThreadPool& pool, const DropoutArgs& args) {
  const D d;
  const auto width = static_cast<size_t>(args.x.shape()[1]);
  const float* x = args.x.data<float>();
  float* y = args.y.data<float>();
  for_row_blocks(
      pool, 0, args.layout.rows(), args.x.shape()[1], [&](int64_t begin, int64_t end) HWY_ATTR {
        for_dropout_vectors(args.layout, args.dropout, width, begin, end,
                            [&](int64_t row, size_t column, auto columns, auto drop) HWY_ATTR {
                              const size_t at = static_cast<size_t>(row) * width + column;
                              store(d, drop(load(d, x + at, columns)), y + at, columns);
                            });
      });
}

/// stream_from_float in vectors; adds the lanes that saturated to `saturated`.
HWY_INLINE hn::Vec<hn::RebindToUnsigned<D>> stream_from_floats(V value, int64_t& saturated) {
  const D d;
  const V scaled = hn::Mul(value, hn::Set(d, kStreamScale));
  const auto in_range =
      hn::And(hn::Ge(scaled, hn::Set(d, -0x1p31f)), hn::Lt(scaled, hn::Set(d, 0x1p31f)));
  if (HWY_UNLIKELY(!hn::AllTrue(d, in_range))) {
    saturated += static_cast<int64_t>(hn::Lanes(d) - hn::CountTrue(d, in_range));
  }
  // NearestInt saturates, but what it makes of NaN depends on the instruction set.
  const V number = hn::IfThenElseZero(hn::Eq(scaled, scaled), scaled);
  return hn::BitCast(hn::RebindToUnsigned<D>(), hn::NearestInt(number));
}

/// stream ± f for either kind of stream.
template <bool kSubtract>
struct Update {
  template <class Columns>
  HWY_INLINE void operator()(float* stream, V f, Columns columns, int64_t&) const {
    const D d;
    const V old = load(d, stream, columns);
    store(d, kSubtract ? hn::Sub(old, f) : hn::Add(old, f), stream, columns);
  }
  template <class Columns>
  HWY_INLINE void operator()(uint32_t* stream, V f, Columns columns, int64_t& saturated) const {
    const hn::RebindToUnsigned<D> d;
    const auto old = load(d, stream, columns);
    const auto change = stream_from_floats(f, saturated);
    store(d, kSubtract ? hn::Sub(old, change) : hn::Add(old, change), stream, columns);
  }
};

template <bool kSubtract>
void update_stream(ThreadPool& pool, const ResidualArgs& args) {
  const D d;
  const auto width = static_cast<size_t>(args.f.shape()[1]);
  const float* f = args.f.data<float>();
  int64_t* faults = args.faults.data<int64_t>();
  with_stream_elements(args.stream, [&](auto* stream) {
    for_row_blocks(
        pool, 0, args.layout.rows(), args.f.shape()[1], [&](int64_t begin, int64_t end) HWY_ATTR {
          int64_t saturated = 0;
          for_dropout_vectors(args.layout, args.dropout, width, begin, end,
                              [&](int64_t row, size_t column, auto columns, auto drop) HWY_ATTR {
                                const size_t at = static_cast<size_t>(row) * width + column;
                                Update<kSubtract>()(stream + at, drop(load(d, f + at, columns)),
                                                    columns, saturated);
                              });
          if (saturated > 0) {
            std::atomic_ref(faults[kStreamSaturated])
                .fetch_add(saturated, std::memory_order_relaxed);
          }
        });
  });
}

void residual(ThreadPool& pool, const ResidualArgs& args) {
  args.subtract ? update_stream<true>(pool, args) : update_stream<false>(pool, args);
}

void join_streams(ThreadPool& pool, const JoinStreamsArgs& args) {
  const D d;
  const auto width = static_cast<size_t>(args.x1.shape()[1]);
  float* joined = args.joined.data<float>();
  const View streams[] = {args.x1, args.x2};
  for (size_t half = 0; half < 2; ++half) {
    with_stream_elements(streams[half], [&](const auto* x) {
      for_row_blocks(
          pool, 0, args.x1.shape()[0], args.x1.shape()[1],
          [&](int64_t begin, int64_t end) HWY_ATTR {
            for (auto row = static_cast<size_t>(begin); row < static_cast<size_t>(end); ++row) {
              float* to = joined + (2 * row + half) * width;
              for_vectors(d, width, [&](size_t column, auto columns) HWY_ATTR {
                store(d, load_float(d, x + row * width + column, columns), to + column, columns);
              });
            }
          });
    });
  }
}

const char* vector_target() {
  return hwy::TargetName(HWY_TARGET);
}

}  // namespace
}  // namespace reformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reformer::cpu {
namespace {

HWY_EXPORT(activation);
HWY_EXPORT(activation_backward);
HWY_EXPORT(dropout);
HWY_EXPORT(residual);
HWY_EXPORT(join_streams);
HWY_EXPORT(vector_target);

void check_dropout(const Dropout& dropout) {
  CHECK(dropout.rate >= 0 && dropout.rate < 1);
}

}  // namespace

void activation(ThreadPool& pool, const ActivationArgs& args) {
  const Shape shape = checked_shape(args.layout, args.x);
  check_dropout(args.dropout);
  check_view(args.x, DType::kFloat32, shape);
  check_view(args.y, DType::kFloat32, shape);
  HWY_DYNAMIC_DISPATCH(activation)(pool, args);
}

void activation_backward(ThreadPool& pool, const ActivationBackwardArgs& args) {
  const Shape shape = checked_shape(args.layout, args.x);
  check_dropout(args.dropout);
  check_view(args.x, DType::kFloat32, shape);
  check_view(args.dy, DType::kFloat32, shape);
  check_view(args.dx, DType::kFloat32, shape);
  HWY_DYNAMIC_DISPATCH(activation_backward)(pool, args);
}

void dropout(ThreadPool& pool, const DropoutArgs& args) {
  const Shape shape = checked_shape(args.layout, args.x);
  check_dropout(args.dropout);
  check_view(args.x, DType::kFloat32, shape);
  check_view(args.y, DType::kFloat32, shape);
  if (!args.dropout.enabled() && args.x.raw() == args.y.raw()) return;
  HWY_DYNAMIC_DISPATCH(dropout)(pool, args);
}

void residual(ThreadPool& pool, const ResidualArgs& args) {
  const Shape shape = checked_shape(args.layout, args.f);
  check_dropout(args.dropout);
  check_view(args.f, DType::kFloat32, shape);
  check_stream(args.stream, shape);
  check_view(args.faults, DType::kInt64, {kFaultKinds});
  HWY_DYNAMIC_DISPATCH(residual)(pool, args);
}

void join_streams(ThreadPool& pool, const JoinStreamsArgs& args) {
  CHECK_EQ(args.x1.shape().rank(), 2);
  const int64_t rows = args.x1.shape()[0];
  const int64_t width = args.x1.shape()[1];
  CHECK_GE(width, 1);
  check_stream(args.x1, {rows, width});
  check_view(args.x2, args.x1.dtype(), {rows, width});
  check_view(args.joined, DType::kFloat32, {rows, 2 * width});
  HWY_DYNAMIC_DISPATCH(join_streams)(pool, args);
}

void split_streams(ThreadPool& pool, const SplitStreamsArgs& args) {
  CHECK_EQ(args.dx1.shape().rank(), 2);
  const int64_t rows = args.dx1.shape()[0];
  const int64_t width = args.dx1.shape()[1];
  CHECK_GE(width, 1);
  check_view(args.djoined, DType::kFloat32, {rows, 2 * width});
  check_view(args.dx1, DType::kFloat32, {rows, width});
  check_view(args.dx2, DType::kFloat32, {rows, width});
  const float* from = args.djoined.data<float>();
  float* dx1 = args.dx1.data<float>();
  float* dx2 = args.dx2.data<float>();
  for_row_blocks(pool, 0, rows, width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      std::copy_n(from + 2 * row * width, width, dx1 + row * width);
      std::copy_n(from + (2 * row + 1) * width, width, dx2 + row * width);
    }
  });
}

const char* vector_target() {
  return HWY_DYNAMIC_DISPATCH(vector_target)();
}

}  // namespace reformer::cpu
#endif  // HWY_ONCE
