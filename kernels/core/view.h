// View: a typed, shaped, non-owning reference to dense row-major memory of a backend.
// Tensor: the same with ownership of host memory, for what is made on the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/core/check.h"
#include "kernels/core/dtype.h"
#include "kernels/core/shape.h"

namespace reformer {

/// Copies refer to the same elements. A View never outlives the arena mark (arena.h) or the Tensor
/// that it came from. A default-constructed View means "absent" where an op allows that.
class View {
 public:
  View() = default;
  View(void* data, DType dtype, const Shape& shape) : data_(data), dtype_(dtype), shape_(shape) {}

  bool defined() const { return data_ != nullptr; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  int64_t elements() const { return defined() ? shape_.elements() : 0; }
  size_t bytes() const { return static_cast<size_t>(elements()) * size_of(dtype_); }
  void* raw() const { return data_; }

  /// REQUIRES: T is the C++ type of dtype(). On an absent view: nullptr.
  template <typename T>
  T* data() const {
    if (!defined()) return nullptr;
    CHECK_EQ(DTypeOf<T>::value, dtype_);
    return static_cast<T*>(data_);
  }

  /// Rows [begin, end) of dimension 0. REQUIRES: 0 <= begin <= end <= shape()[0].
  View rows(int64_t begin, int64_t end) const {
    CHECK(defined());
    CHECK(0 <= begin && begin <= end && end <= shape_[0]);
    const int64_t row = shape_[0] == 0 ? 0 : elements() / shape_[0];
    auto* first =
        static_cast<std::byte*>(data_) + static_cast<size_t>(begin * row) * size_of(dtype_);
    return View(first, dtype_, shape_.with_rows(end - begin));
  }

  /// The same elements under another shape. REQUIRES: equal element counts.
  View reshape(const Shape& shape) const {
    CHECK(defined());
    CHECK_EQ(shape.elements(), elements());
    return View(data_, dtype_, shape);
  }

 private:
  void* data_ = nullptr;
  DType dtype_ = DType::kFloat32;
  Shape shape_;
};

/// Host memory aligned to 64 bytes, zero-filled. Moves; never copies silently.
class Tensor {
 public:
  Tensor() = default;
  Tensor(DType dtype, const Shape& shape);

  const View& view() const { return view_; }
  const Shape& shape() const { return view_.shape(); }
  int64_t elements() const { return view_.elements(); }

  template <typename T>
  T* data() const {
    return view_.data<T>();
  }

 private:
  struct Free {
    void operator()(void* memory) const;
  };
  std::unique_ptr<void, Free> memory_;
  View view_;
};

}  // namespace reformer
