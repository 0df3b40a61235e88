// Chunks: a few neighbouring elements of a row at a time, as floats. Where all rows of a matrix
// begin at 16 bytes and are whole chunks, accesses have 16 bytes; which thread has which element
// does not depend on that.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "kernels/cuda/primitives.cuh"

namespace reformer::cuda {

/// Elements of a chunk: 16 bytes of the narrowest of the types that an op has in hand.
template <typename... T>
inline constexpr int kChunk = ((sizeof(T) == 2) || ...) ? 8 : 4;

/// Whether rows of `width` elements are whole chunks of `n`, and all of these begin at 16 bytes.
inline bool whole_chunks(int64_t width, int n, std::initializer_list<const void*> data) {
  bool whole = width % n == 0;
  for (const void* p : data) whole = whole && reinterpret_cast<uintptr_t>(p) % 16 == 0;
  return whole;
}

/// A chunk as it lies in memory.
template <typename T, int N>
struct alignas(16) Pack {
  static_assert(N * sizeof(T) % 16 == 0);
  T elements[N];
};

/// The first `count` elements at p, then zeros. With `whole`, p is aligned and count is N.
template <int N, typename T>
__device__ inline void load_chunk(const T* p, int count, bool whole, float (&values)[N]) {
  if (whole) {
    const Pack<T, N> pack = *reinterpret_cast<const Pack<T, N>*>(p);
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = load(&pack.elements[i]);
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = i < count ? load(p + i) : 0.0f;
  }
}

template <int N, typename T>
__device__ inline void store_chunk(T* p, int count, bool whole, const float (&values)[N]) {
  if (whole) {
    Pack<T, N> pack;
#pragma unroll
    for (int i = 0; i < N; ++i) store(&pack.elements[i], values[i]);
    *reinterpret_cast<Pack<T, N>*>(p) = pack;
  } else {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if (i < count) store(p + i, values[i]);
    }
  }
}

}  // namespace reformer::cuda
