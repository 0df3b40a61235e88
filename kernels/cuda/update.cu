#include <algorithm>
#include <cmath>

#include "kernels/core/wide_sum.h"
#include "kernels/cuda/exact_sum.cuh"
#include "kernels/cuda/for_chunks.cuh"
#include "kernels/cuda/gradient.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/rows.h"

namespace reformer::cuda {
namespace {

constexpr int kThreads = 128;

// ---- sum of squares --------------------------------------------------------------------------

using Word = unsigned long long;

/// WideSum in registers.
struct DeviceWideSum {
  /// WideSum::add, bit by bit.
  __device__ void add(double term) {
    constexpr int kSumWords = WideSum::kWords - 1;
    if (!(term < 0x1p128)) {
      words[kSumWords] += 1;
      return;
    }
    // term = mantissa · 2^(position − 128), mantissa below 2^53; denormal terms are dropped anyway.
    const auto bits = static_cast<Word>(__double_as_longlong(term));
    const int exponent = static_cast<int>(bits >> 52);
    if (exponent == 0) return;
    Word mantissa = (bits & ((1ull << 52) - 1)) | (1ull << 52);
    int position = exponent - 1075 + 128;
    if (position < 0) {
      mantissa = position > -64 ? mantissa >> -position : 0;
      position = 0;
    }
    const int word = position / 32;
    const int shift = position % 32;
    const Word low = (mantissa << shift) & 0xffffffffull;
    const Word rest = shift == 0 ? mantissa >> 32 : mantissa >> (32 - shift);
#pragma unroll
    for (int i = 0; i < kSumWords; ++i) {  // no index but a constant one: words stay in registers
      words[i] += i == word       ? low
                  : i == word + 1 ? rest & 0xffffffffull
                  : i == word + 2 ? rest >> 32
                                  : 0;
    }
  }

  Word words[WideSum::kWords] = {};
};

/// A thread for each block of kNormBlock elements, then the next gridDim.x · kThreads further on.
template <typename X>
__global__ void __launch_bounds__(kThreads)
    sum_of_squares_kernel(const X* x, int64_t n, bool aligned, Word* squares) {
  DeviceWideSum sum;
  const int64_t stride = int64_t{gridDim.x} * kThreads * kNormBlock;
  int64_t begin = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * kNormBlock;
  for (; begin < n; begin += stride) {
    double block = 0;
    if (aligned && begin + kNormBlock <= n) {
#pragma unroll 4
      for (int64_t i = begin; i < begin + kNormBlock; i += 4) {
        double values[4];
        load_real(x + i, values);
#pragma unroll
        for (double value : values) block = add_square(block, value);
      }
    } else {
      const int64_t end = min(begin + kNormBlock, n);
      for (int64_t i = begin; i < end; ++i) block = add_square(block, real_value(x[i]));
    }
    sum.add(block);
  }
#pragma unroll
  for (int word = 0; word < WideSum::kWords; ++word) {
    Word total = sum.words[word];
#pragma unroll
    for (int distance = kWarp / 2; distance > 0; distance /= 2) {
      total += __shfl_xor_sync(kFullWarp, total, distance);
    }
    if (threadIdx.x % kWarp == 0 && total != 0) atomicAdd(squares + word, total);
  }
}

// ---- AdamW -----------------------------------------------------------------------------------

/// gradient · scale as floats.
template <int N, typename G>
__device__ void load_gradient(const G* gradient, int count, bool whole, float scale,
                              float (&values)[N]) {
  if (whole) {
    double real[N];
    load_real(gradient, real);
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = static_cast<float>(real[i]) * scale;
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      values[i] = i < count ? static_cast<float>(real_value(gradient[i])) * scale : 0.0f;
    }
  }
}

/// The bias corrections are factors here.
template <typename G>
struct AdamW {
  static constexpr int kChunk = cuda::kChunk<float>;

  __device__ void operator()(const ChunkPosition& at) const {
    float g[kChunk];
    float of_m[kChunk];
    float of_v[kChunk];
    float p[kChunk];
    load_gradient(gradient + at.at, at.count, at.whole, gradient_scale, g);
    load_chunk(m + at.at, at.count, at.whole, of_m);
    load_chunk(v + at.at, at.count, at.whole, of_v);
    load_chunk(parameter + at.at, at.count, at.whole, p);
#pragma unroll
    for (int i = 0; i < kChunk; ++i) {
      of_m[i] = fmaf(1.0f - beta1, g[i], __fmul_rn(beta1, of_m[i]));
      of_v[i] = fmaf(__fmul_rn(1.0f - beta2, g[i]), g[i], __fmul_rn(beta2, of_v[i]));
      const float root = sqrtf(__fmul_rn(of_v[i], correct_v)) + epsilon;
      const float change = __fmul_rn(rate, __fmul_rn(of_m[i], correct_m) / root);
      p[i] = fmaf(keep, p[i], -change);
    }
    store_chunk(m + at.at, at.count, at.whole, of_m);
    store_chunk(v + at.at, at.count, at.whole, of_v);
    store_chunk(parameter + at.at, at.count, at.whole, p);
  }

  float* parameter;
  const G* gradient;
  float* m;
  float* v;
  float rate;
  float beta1;
  float beta2;
  float epsilon;
  float gradient_scale;
  float correct_m;
  float correct_v;
  float keep;  // of the parameter, after weight decay
};

float bias_correction(float beta, int64_t step) {
  return static_cast<float>(1 /
                            (1 - std::pow(static_cast<double>(beta), static_cast<double>(step))));
}

}  // namespace

void sum_of_squares(Runtime& runtime, const SumOfSquaresArgs& args) {
  const int64_t n = args.x.elements();
  check_gradient_view(args.x, {n});
  check_view(args.squares, DType::kInt64, {WideSum::kWords});
  constexpr int64_t kBlocksPerMultiprocessor = 8;
  const int64_t blocks = std::min(divide_up(n, kThreads * kNormBlock),
                                  kBlocksPerMultiprocessor * runtime.multiprocessors());
  with_gradient(args.x, [&](const auto* x) {
    using X = std::remove_cv_t<std::remove_pointer_t<decltype(x)>>;
    launch(runtime, sum_of_squares_kernel<X>, dim3(static_cast<uint32_t>(blocks)), dim3(kThreads),
           0, x, n, whole_chunks(0, 4, {x}), reinterpret_cast<Word*>(args.squares.data<int64_t>()));
  });
}

void adamw(Runtime& runtime, const AdamWArgs& args) {
  const Shape shape{args.parameter.elements()};
  check_view(args.parameter, DType::kFloat32, shape);
  check_gradient_view(args.gradient, shape);
  check_view(args.m, DType::kFloat32, shape);
  check_view(args.v, DType::kFloat32, shape);
  CHECK_GE(args.step, 1);
  with_gradient(args.gradient, [&](const auto* gradient) {
    using G = std::remove_cv_t<std::remove_pointer_t<decltype(gradient)>>;
    const bool whole =
        whole_chunks(shape.elements(), kChunk<float>,
                     {args.parameter.raw(), args.gradient.raw(), args.m.raw(), args.v.raw()});
    for_chunks(runtime, 1, shape.elements(), whole,
               AdamW<G>{.parameter = args.parameter.data<float>(),
                        .gradient = gradient,
                        .m = args.m.data<float>(),
                        .v = args.v.data<float>(),
                        .rate = args.rate,
                        .beta1 = args.beta1,
                        .beta2 = args.beta2,
                        .epsilon = args.epsilon,
                        .gradient_scale = args.gradient_scale,
                        .correct_m = bias_correction(args.beta1, args.step),
                        .correct_v = bias_correction(args.beta2, args.step),
                        .keep = 1.0f - args.rate * args.weight_decay});
  });
}

}  // namespace reformer::cuda
