#include <algorithm>

#include "kernels/cuda/convert.h"
#include "kernels/cuda/for_chunks.cuh"
#include "kernels/cuda/runtime.h"

namespace reformer::cuda {
namespace {

struct Round {
  static constexpr int kChunk = cuda::kChunk<__nv_bfloat16>;

  __device__ void operator()(const ChunkPosition& at) const {
    float values[kChunk];
    load_chunk(from + at.at, at.count, at.whole, values);
    store_chunk(to + at.at, at.count, at.whole, values);
  }

  const float* from;
  __nv_bfloat16* to;
};

}  // namespace

View as_bfloat16(Runtime& runtime, const View& view) {
  if (view.dtype() == DType::kBFloat16) return view;
  const View rounded = runtime.workspace().allocate(DType::kBFloat16, view.shape());
  const Round round{view.data<float>(), rounded.data<__nv_bfloat16>()};
  // Rows are joined to long ones, so that chunks are whole whatever the width.
  constexpr int64_t kRow = int64_t{1} << 28;
  const int64_t elements = view.elements();
  for (int64_t begin = 0; begin < elements; begin += kRow) {
    const int64_t count = std::min(kRow, elements - begin);
    for_chunks(runtime, 1, count,
               whole_chunks(count, round.kChunk, {round.from + begin, round.to + begin}),
               Round{round.from + begin, round.to + begin});
  }
  return rounded;
}

}  // namespace reformer::cuda
