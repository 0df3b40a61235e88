#include "trainer/checks/op_inputs.h"

#include "kernels/core/bfloat16.h"
#include "kernels/core/fixed_point.h"
#include "kernels/core/philox.h"
#include "kernels/lsh_layout.h"

namespace reformer {

Tensor normal(const Shape& shape, uint32_t index, float deviation) {
  Tensor tensor(DType::kFloat32, shape);
  const PhiloxKey key = make_key(0, RandomUse::kProbe, 0, index);
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const auto block = static_cast<uint32_t>(i / 4);
    const float value = normal_quad(philox(key, {block, 0, 0, 0}))[static_cast<size_t>(i % 4)];
    tensor.data<float>()[i] = to_float(to_bfloat16(deviation * value));
  }
  return tensor;
}

Tensor integers(const Shape& shape, uint32_t index, int64_t bound) {
  Tensor tensor(DType::kInt32, shape);
  const PhiloxKey key = make_key(0, RandomUse::kProbe, 1, index);
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    const PhiloxBlock bits = philox(key, {static_cast<uint32_t>(i), 0, 0, 0});
    tensor.data<int32_t>()[i] = static_cast<int32_t>(bounded(bits, static_cast<uint64_t>(bound)));
  }
  return tensor;
}

SortedSlots sort_random_buckets(const OpShapes& shapes, Backend& backend,
                                const AttentionPattern& pattern) {
  SortedSlots sorted;
  if (!is_hashed(pattern.kind)) return sorted;
  const Shape slots{OpShapes::kSamples, pattern.heads, pattern.rounds, shapes.scale.tokens};
  const int64_t count = bucket_count(shapes.buckets());
  sorted.order = Tensor(DType::kInt32, slots);
  sorted.bucket_begin = Tensor(DType::kInt32, {slots[0], slots[1], slots[2], count + 2});
  const Tensor bucket_of = integers(slots, 50, count);
  backend.bucket_sort({.num_buckets = count,
                       .bucket_of = bucket_of.view(),
                       .order = sorted.order.view(),
                       .bucket_begin = sorted.bucket_begin.view()});
  return sorted;
}

Tensor normal_stream(const Shape& shape, uint32_t index) {
  const Tensor values = normal(shape, index);
  Tensor stream(DType::kFixed32, shape);
  bool saturated = false;
  for (int64_t i = 0; i < values.elements(); ++i) {
    stream.data<uint32_t>()[i] = stream_from_float(values.data<float>()[i], &saturated);
  }
  return stream;
}

Tensor normal_gradient(const Shape& shape, uint32_t index) {
  const Tensor values = normal(shape, index);
  Tensor gradient = sums(shape);
  bool overflowed = false;
  for (int64_t i = 0; i < values.elements(); ++i) {
    gradient.data<int64_t>()[i] = sum_term(values.data<float>()[i], kSumLimit, &overflowed);
  }
  return gradient;
}

}  // namespace reformer
