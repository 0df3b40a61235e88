#include <cmath>

#include "kernels/cuda/chunk.cuh"
#include "kernels/cuda/head_products.h"
#include "kernels/cuda/mma.cuh"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/primitives.cuh"
#include "kernels/op_checks.h"

namespace reformer::cuda {
namespace {

constexpr int kThreads = 256;

/// What is kept of a product.
enum class Keep : uint8_t { kProduct, kRoot, kInverseRoot };

/// Where the products of rows and heads go; part = row · H + head.
struct ProductsTask {
  int64_t parts;
  int64_t heads;
  int width;
  HeadNumbers numbers;
  Keep keep;
  float* products;

  __device__ void store(int64_t part, float product) const {
    const int64_t row = part / heads;
    const float root = sqrtf(product);
    const float inverse = root < kShortestKey ? 0.0f : 1.0f / root;
    products[numbers.at(heads, row / numbers.rows, part % heads, row % numbers.rows)] =
        keep == Keep::kProduct ? product
        : keep == Keep::kRoot  ? root
                               : inverse;
  }
};

/// One warp for each part.
template <typename E>
__global__ void __launch_bounds__(kThreads)
    multiply_rows(const E* a, const E* b, ProductsTask task) {
  const int64_t part = static_cast<int64_t>(blockIdx.x) * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (part >= task.parts) return;
  float sum = 0;
  for (int64_t i = threadIdx.x % kWarp; i < task.width; i += kWarp) {
    sum = __fmaf_rn(load(a + part * task.width + i), load(b + part * task.width + i), sum);
  }
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) task.store(part, sum);
}

/// BFloat16 heads of 32, 64 or 128: D / 8 lanes for each part.
__global__ void __launch_bounds__(kThreads)
    multiply_pieces(const uint4* a, const uint4* b, ProductsTask task) {
  const int64_t id = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int pieces = task.width / 8;
  const int64_t part = id / pieces;
  float sum = 0;
  if (part < task.parts) {
    const uint4 x = a[id];
    const uint4 y = b[id];
    sum += lower_half(x.x) * lower_half(y.x) + upper_half(x.x) * upper_half(y.x);
    sum += lower_half(x.y) * lower_half(y.y) + upper_half(x.y) * upper_half(y.y);
    sum += lower_half(x.z) * lower_half(y.z) + upper_half(x.z) * upper_half(y.z);
    sum += lower_half(x.w) * lower_half(y.w) + upper_half(x.w) * upper_half(y.w);
  }
  for (int distance = 1; distance < pieces; distance *= 2) {
    sum += __shfl_xor_sync(kFullWarp, sum, distance);
  }
  if (part < task.parts && id % pieces == 0) task.store(part, sum);
}

__global__ void __launch_bounds__(kThreads) fill(float value, int64_t count, float* values) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) values[i] = value;
}

dim3 blocks_for(int64_t threads) {
  return dim3(static_cast<unsigned>(divide_up(threads, kThreads)));
}

/// The kernel depends on dtype and width alone, so that the bits do.
void multiply(Runtime& runtime, int64_t heads, const View& a, const View& b,
              const HeadNumbers& numbers, Keep keep, const View& products) {
  const int64_t width = a.shape()[1] / heads;
  const ProductsTask task{.parts = products.elements(),
                          .heads = heads,
                          .width = static_cast<int>(width),
                          .numbers = numbers,
                          .keep = keep,
                          .products = products.data<float>()};
  if (a.dtype() == DType::kBFloat16 && (width == 32 || width == 64 || width == 128)) {
    CHECK(whole_chunks(width, 8, {a.raw(), b.raw()}));
    launch(runtime, multiply_pieces, blocks_for(task.parts * width / 8), dim3(kThreads), 0,
           static_cast<const uint4*>(a.raw()), static_cast<const uint4*>(b.raw()), task);
    return;
  }
  with_element_type(a.dtype(), [&](auto element) {
    using E = decltype(element);
    launch(runtime, multiply_rows<E>, blocks_for(task.parts * kWarp), dim3(kThreads), 0,
           a.data<E>(), b.data<E>(), task);
  });
}

View allocate_numbers(Runtime& runtime, const AttentionFrame& frame) {
  return runtime.workspace().allocate(DType::kFloat32,
                                      {frame.samples * frame.rows * frame.pattern.heads});
}

View multiply_keys(Runtime& runtime, const AttentionFrame& frame, Keep keep) {
  const View products = allocate_numbers(runtime, frame);
  multiply(runtime, frame.pattern.heads, frame.key, frame.key, frame.numbers, keep, products);
  return products;
}

}  // namespace

View make_key_lengths(Runtime& runtime, const AttentionFrame& frame) {
  CHECK(has_shared_query_key(frame.pattern.kind));
  return multiply_keys(runtime, frame, Keep::kRoot);
}

View make_key_scales(Runtime& runtime, const AttentionFrame& frame) {
  if (has_shared_query_key(frame.pattern.kind)) {
    return multiply_keys(runtime, frame, Keep::kInverseRoot);
  }
  const View scales = allocate_numbers(runtime, frame);
  launch(runtime, fill, blocks_for(scales.elements()), dim3(kThreads), 0,
         1.0f / std::sqrt(static_cast<float>(frame.pattern.head_dim)), scales.elements(),
         scales.data<float>());
  return scales;
}

View make_deltas(Runtime& runtime, const AttentionBackwardArgs& args) {
  const AttentionFrame frame(args.forward);
  const View deltas = allocate_numbers(runtime, frame);
  multiply(runtime, frame.pattern.heads, args.dout, args.forward.out, frame.numbers, Keep::kProduct,
           deltas);
  return deltas;
}

void head_products(Runtime& runtime, const HeadProductsArgs& args) {
  check_head_products(args);
  multiply(runtime, args.heads, args.a, args.b, numbers_by_row(args.a.shape()[0], args.heads),
           Keep::kProduct, args.products);
}

}  // namespace reformer::cuda
