#include <algorithm>
#include <cmath>

#include "kernels/core/check.h"
#include "kernels/core/fixed_point.h"
#include "kernels/cpu/ops.h"

namespace reformer::cpu {
namespace {
double value_of(int64_t q) { return static_cast<double>(q) * kSumStep; }
double value_of(float x) { return static_cast<double>(x); }
template <typename F>
void with_gradient(const View& view, const F& f) {
  if (view.dtype() == DType::kInt64) f(view.data<int64_t>()); else f(view.data<float>());
}
}  // namespace
void sum_of_squares(ThreadPool& pool, const SumOfSquaresArgs& args) {
  const int64_t n = args.x.elements();
  with_gradient(args.x, [&](const auto* x) {
    pool.parallel_for(args.block_sums.elements(), [&](int64_t b, int) {
      double sum = 0;
      for (int64_t i = b * kNormBlock; i < std::min(n, (b + 1) * kNormBlock); ++i) sum += value_of(x[i]) * value_of(x[i]);
      args.block_sums.data<double>()[b] = sum;
    });
  });
}
void adamw(ThreadPool& pool, const AdamWArgs& args) {
  const int64_t n = args.parameter.elements();
  const float c1 = static_cast<float>(1 - std::pow(static_cast<double>(args.beta1), static_cast<double>(args.step)));
  const float c2 = static_cast<float>(1 - std::pow(static_cast<double>(args.beta2), static_cast<double>(args.step)));
  float* p = args.parameter.data<float>(); float* m = args.m.data<float>(); float* v = args.v.data<float>();
  constexpr int64_t kBlock = 16384;
  with_gradient(args.gradient, [&](const auto* g) {
    pool.parallel_for((n + kBlock - 1) / kBlock, [&](int64_t b, int) {
      for (int64_t i = b * kBlock; i < std::min(n, (b + 1) * kBlock); ++i) {
        const float gi = static_cast<float>(value_of(g[i])) * args.gradient_scale;
        m[i] = args.beta1 * m[i] + (1 - args.beta1) * gi;
        v[i] = args.beta2 * v[i] + (1 - args.beta2) * gi * gi;
        p[i] -= args.rate * (m[i] / c1 / (std::sqrt(v[i] / c2) + args.epsilon) + args.weight_decay * p[i]);
      }
    });
  });
}
void adafactor(ThreadPool&, const AdafactorArgs&) { CHECK(false); }
}  // namespace reformer::cpu
