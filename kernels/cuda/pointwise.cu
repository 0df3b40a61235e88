#include "kernels/cuda/exact_sum.cuh"
#include "kernels/cuda/for_chunks.cuh"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/rows.h"

namespace reformer::cuda {
namespace {

/// Dropout by the global coordinates of a row.
struct RowDropout {
  RowDropout(const TokenLayout& layout, const Dropout& dropout)
      : enabled(dropout.enabled()),
        key(dropout.key),
        threshold(dropout.threshold()),
        scale(dropout.scale()),
        length(static_cast<uint32_t>(layout.length)),
        first_sample(static_cast<uint32_t>(layout.first_sample)),
        first_position(static_cast<uint32_t>(layout.first_position)) {}

  template <int N>
  __device__ void apply(const ChunkPosition& position, float (&values)[N]) const {
    if (!enabled) return;
    const uint32_t sample = position.row / length;
    const uint32_t token = position.row - sample * length;
#pragma unroll
    for (int i = 0; i < N; i += 4) {
      const uint4 words = philox4(key, (position.column + static_cast<uint32_t>(i)) / 4,
                                  first_position + token, first_sample + sample, 0);
      values[i] = words.x >= threshold ? values[i] * scale : 0.0f;
      values[i + 1] = words.y >= threshold ? values[i + 1] * scale : 0.0f;
      values[i + 2] = words.z >= threshold ? values[i + 2] * scale : 0.0f;
      values[i + 3] = words.w >= threshold ? values[i + 3] * scale : 0.0f;
    }
  }

  bool enabled;
  PhiloxKey key;
  uint32_t threshold;
  float scale;
  uint32_t length;
  uint32_t first_sample;
  uint32_t first_position;
};

/// for_chunks where elements need not know their row unless dropout asks for it: without, a matrix
/// with rows that are no whole chunks is taken for one long row.
template <typename Body>
void for_elements(Runtime& runtime, const Shape& shape, std::initializer_list<const void*> data,
                  const Body& body) {
  constexpr int64_t kLongest = int64_t{1} << 30;
  const int64_t elements = shape.elements();
  if (body.dropout.enabled || shape[1] % Body::kChunk == 0 || elements > kLongest) {
    for_chunks(runtime, shape[0], shape[1], whole_chunks(shape[1], Body::kChunk, data), body);
  } else if (elements > 0) {
    for_chunks(runtime, 1, elements, whole_chunks(elements, Body::kChunk, data), body);
  }
}

// ---- activations -----------------------------------------------------------------------------

struct Relu {
  /// NaN stays NaN.
  static __device__ float value(float x) { return x <= 0 ? 0 : x; }
  static __device__ float times_slope(float x, float dy) { return x <= 0 ? 0 : dy; }
};

struct Gelu {
  static __device__ float cumulative(float x) {
    constexpr float kRootOfHalf = 0.70710678f;
    return fmaf(0.5f, erff(x * kRootOfHalf), 0.5f);
  }
  static __device__ float value(float x) { return x * cumulative(x); }
  static __device__ float times_slope(float x, float dy) {
    constexpr float kDensityAt0 = 0.39894228f;  // 1 / √(2π)
    const float density = kDensityAt0 * expf(-0.5f * x * x);
    return dy * fmaf(x, density, cumulative(x));
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

struct Identity {
  static __device__ float value(float x) { return x; }
};

/// y = dropout(function(x)).
template <typename Function, typename X, typename Y>
struct Apply {
  static constexpr int kChunk = cuda::kChunk<X, Y>;

  __device__ void operator()(const ChunkPosition& position) const {
    float values[kChunk];
    load_chunk(x + position.at, position.count, position.whole, values);
#pragma unroll
    for (float& value : values) value = Function::value(value);
    dropout.apply(position, values);
    store_chunk(y + position.at, position.count, position.whole, values);
  }

  RowDropout dropout;
  const X* x;
  Y* y;
};

/// dx = function'(x) · dropout(dy).
template <typename Function, typename T>
struct ApplyBackward {
  static constexpr int kChunk = cuda::kChunk<T>;

  __device__ void operator()(const ChunkPosition& position) const {
    float at[kChunk];
    float gradient[kChunk];
    load_chunk(x + position.at, position.count, position.whole, at);
    load_chunk(dy + position.at, position.count, position.whole, gradient);
    dropout.apply(position, gradient);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) gradient[i] = Function::times_slope(at[i], gradient[i]);
    store_chunk(dx + position.at, position.count, position.whole, gradient);
  }

  RowDropout dropout;
  const T* x;
  const T* dy;
  T* dx;
};

// ---- streams ---------------------------------------------------------------------------------

/// dtype dispatch: f(S*) with S = float or uint32_t, the elements of a residual stream.
template <typename F>
void with_stream(const View& stream, const F& f) {
  if (stream.dtype() == DType::kFixed32) {
    f(stream.data<uint32_t>());
  } else {
    f(stream.data<float>());
  }
}

/// stream ± change, with NaN and what is out of range counted.
template <bool kSubtract>
__device__ float moved(float stream, float change, int*) {
  return kSubtract ? stream - change : stream + change;
}
template <bool kSubtract>
__device__ uint32_t moved(uint32_t stream, float change, int* saturated) {
  bool fault = false;
  const uint32_t q = to_stream(change, &fault);
  *saturated += fault ? 1 : 0;
  return kSubtract ? stream - q : stream + q;
}

template <bool kSubtract, typename S, typename T>
struct Residual {
  static constexpr int kChunk = cuda::kChunk<T>;

  __device__ void operator()(const ChunkPosition& position) const {
    float change[kChunk];
    load_chunk(f + position.at, position.count, position.whole, change);
    dropout.apply(position, change);
    int saturated = 0;
    if (position.whole) {
      auto* const pack = reinterpret_cast<Pack<S, kChunk>*>(stream + position.at);
      Pack<S, kChunk> values = *pack;
#pragma unroll
      for (int i = 0; i < kChunk; ++i) {
        values.elements[i] = moved<kSubtract>(values.elements[i], change[i], &saturated);
      }
      *pack = values;
    } else {
#pragma unroll
      for (int i = 0; i < kChunk; ++i) {
        if (i >= position.count) continue;
        S& element = stream[position.at + i];
        element = moved<kSubtract>(element, change[i], &saturated);
      }
    }
    count_faults(saturated, faults, kStreamSaturated);
  }

  RowDropout dropout;
  const T* f;
  S* stream;
  int64_t* faults;
};

template <typename S, typename T>
struct Join {
  static constexpr int kChunk = cuda::kChunk<T>;

  __device__ void operator()(const ChunkPosition& position) const {
    T* const to = joined + position.at + position.row * width;
    float values[kChunk];
    load_chunk(x1 + position.at, position.count, position.whole, values);
    store_chunk(to, position.count, position.whole, values);
    load_chunk(x2 + position.at, position.count, position.whole, values);
    store_chunk(to + width, position.count, position.whole, values);
  }

  const S* x1;
  const S* x2;
  int64_t width;
  T* joined;
};

template <typename T>
struct Split {
  static constexpr int kChunk = cuda::kChunk<T>;

  __device__ void operator()(const ChunkPosition& position) const {
    const T* const from = djoined + position.at + position.row * width;
    float values[kChunk];
    load_chunk(from, position.count, position.whole, values);
    store_chunk(dx1 + position.at, position.count, position.whole, values);
    load_chunk(from + width, position.count, position.whole, values);
    store_chunk(dx2 + position.at, position.count, position.whole, values);
  }

  const T* djoined;
  int64_t width;
  float* dx1;
  float* dx2;
};

// ---- arguments -------------------------------------------------------------------------------

RowDropout checked_dropout(const TokenLayout& layout, const Dropout& dropout) {
  CHECK(dropout.rate >= 0 && dropout.rate < 1);
  return {layout, dropout};
}

}  // namespace

void activation(Runtime& runtime, const ActivationArgs& args) {
  const Shape shape = checked_shape(args.layout, args.x);
  check_activation(args.x, shape);
  check_view(args.y, args.x.dtype(), shape);
  const RowDropout dropout = checked_dropout(args.layout, args.dropout);
  with_element_type(args.x.dtype(), [&](auto element) {
    using T = decltype(element);
    with_activation(args.activation, [&](auto function) {
      for_elements(runtime, shape, {args.x.raw(), args.y.raw()},
                   Apply<decltype(function), T, T>{dropout, args.x.data<T>(), args.y.data<T>()});
    });
  });
}

void activation_backward(Runtime& runtime, const ActivationBackwardArgs& args) {
  const Shape shape = checked_shape(args.layout, args.x);
  check_activation(args.x, shape);
  check_view(args.dy, args.x.dtype(), shape);
  check_view(args.dx, args.x.dtype(), shape);
  const RowDropout dropout = checked_dropout(args.layout, args.dropout);
  with_element_type(args.x.dtype(), [&](auto element) {
    using T = decltype(element);
    with_activation(args.activation, [&](auto function) {
      for_elements(runtime, shape, {args.x.raw(), args.dy.raw(), args.dx.raw()},
                   ApplyBackward<decltype(function), T>{dropout, args.x.data<T>(),
                                                        args.dy.data<T>(), args.dx.data<T>()});
    });
  });
}

void dropout(Runtime& runtime, const DropoutArgs& args) {
  const Shape shape = checked_shape(args.layout, args.x);
  check_activation(args.x, shape);
  check_activation(args.y, shape);
  CHECK(args.x.dtype() == args.y.dtype() || args.x.dtype() == DType::kFloat32);
  const RowDropout dropout = checked_dropout(args.layout, args.dropout);
  if (!dropout.enabled && args.x.raw() == args.y.raw()) return;
  const auto run = [&](const auto* x, auto* y) {
    using X = std::remove_cv_t<std::remove_pointer_t<decltype(x)>>;
    using Y = std::remove_pointer_t<decltype(y)>;
    for_elements(runtime, shape, {args.x.raw(), args.y.raw()},
                 Apply<Identity, X, Y>{dropout, x, y});
  };
  if (args.x.dtype() == DType::kBFloat16) {
    run(args.x.data<__nv_bfloat16>(), args.y.data<__nv_bfloat16>());
  } else if (args.y.dtype() == DType::kBFloat16) {
    run(args.x.data<float>(), args.y.data<__nv_bfloat16>());
  } else {
    run(args.x.data<float>(), args.y.data<float>());
  }
}

void residual(Runtime& runtime, const ResidualArgs& args) {
  const Shape shape = checked_shape(args.layout, args.f);
  check_activation(args.f, shape);
  check_stream(args.stream, shape);
  check_view(args.faults, DType::kInt64, {kFaultKinds});
  const RowDropout dropout = checked_dropout(args.layout, args.dropout);
  with_stream(args.stream, [&](auto* stream) {
    with_element_type(args.f.dtype(), [&](auto element) {
      using S = std::remove_pointer_t<decltype(stream)>;
      using T = decltype(element);
      const T* const f = args.f.data<T>();
      int64_t* const faults = args.faults.data<int64_t>();
      if (args.subtract) {
        for_elements(runtime, shape, {args.f.raw(), args.stream.raw()},
                     Residual<true, S, T>{dropout, f, stream, faults});
      } else {
        for_elements(runtime, shape, {args.f.raw(), args.stream.raw()},
                     Residual<false, S, T>{dropout, f, stream, faults});
      }
    });
  });
}

void join_streams(Runtime& runtime, const JoinStreamsArgs& args) {
  CHECK_EQ(args.x1.shape().rank(), 2);
  const int64_t rows = args.x1.shape()[0];
  const int64_t width = args.x1.shape()[1];
  CHECK_GE(width, 1);
  check_stream(args.x1, {rows, width});
  check_view(args.x2, args.x1.dtype(), {rows, width});
  check_activation(args.joined, {rows, 2 * width});
  with_stream(args.x1, [&](auto* x1) {
    with_element_type(args.joined.dtype(), [&](auto element) {
      using S = std::remove_pointer_t<decltype(x1)>;
      using T = decltype(element);
      const bool whole =
          whole_chunks(width, kChunk<T>, {args.x1.raw(), args.x2.raw(), args.joined.raw()});
      for_chunks(runtime, rows, width, whole,
                 Join<S, T>{x1, args.x2.data<S>(), width, args.joined.data<T>()});
    });
  });
}

void split_streams(Runtime& runtime, const SplitStreamsArgs& args) {
  CHECK_EQ(args.dx1.shape().rank(), 2);
  const int64_t rows = args.dx1.shape()[0];
  const int64_t width = args.dx1.shape()[1];
  CHECK_GE(width, 1);
  check_activation(args.djoined, {rows, 2 * width});
  check_view(args.dx1, DType::kFloat32, {rows, width});
  check_view(args.dx2, DType::kFloat32, {rows, width});
  with_element_type(args.djoined.dtype(), [&](auto element) {
    using T = decltype(element);
    const bool whole =
        whole_chunks(width, kChunk<T>, {args.djoined.raw(), args.dx1.raw(), args.dx2.raw()});
    for_chunks(
        runtime, rows, width, whole,
        Split<T>{args.djoined.data<T>(), width, args.dx1.data<float>(), args.dx2.data<float>()});
  });
}

}  // namespace reformer::cuda
