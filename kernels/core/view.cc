#include "kernels/core/view.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace reformer {

Tensor::Tensor(DType dtype, const Shape& shape) {
  constexpr size_t kAlignment = 64;
  const size_t wanted = static_cast<size_t>(shape.elements()) * size_of(dtype);
  const size_t bytes = std::max(kAlignment, (wanted + kAlignment - 1) / kAlignment * kAlignment);
  memory_.reset(std::aligned_alloc(kAlignment, bytes));
  if (!memory_) throw std::bad_alloc();
  std::memset(memory_.get(), 0, bytes);
  view_ = View(memory_.get(), dtype, shape);
}

void Tensor::Free::operator()(void* memory) const {
  std::free(memory);
}

}  // namespace reformer
