// The arguments of one op, from host memory to a device and back.
#pragma once

#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace reformer {

/// The views of one op on the device.
class Mirror {
 public:
  Mirror(Backend& device, DType activation) : device_(device), activation_(activation) {}

  // Each replaces a view in host memory by its image on the device; absent views stay absent.
  void in(View& view) { replace(view, Direction::kIn, view.dtype()); }
  void out(View& view) { replace(view, Direction::kOut, view.dtype()); }
  void in_out(View& view) { replace(view, Direction::kInOut, view.dtype()); }
  void scratch(View& view) { replace(view, Direction::kScratch, view.dtype()); }

  // The same for activations.
  void activation_in(View& view) { replace(view, Direction::kIn, dtype_on_device(view)); }
  void activation_out(View& view) { replace(view, Direction::kOut, dtype_on_device(view)); }
  void activation_in_out(View& view) { replace(view, Direction::kInOut, dtype_on_device(view)); }

  void in(GradientSum& sum) { in_out(sum.faults); }

  /// Copies results to host memory.
  void finish();

 private:
  enum class Direction { kIn, kOut, kInOut, kScratch };

  struct Image {
    View host;
    View device;
    std::unique_ptr<Arena> memory;
    bool is_result;
  };

  DType dtype_on_device(const View& view) const {
    return view.dtype() == DType::kFloat32 ? activation_ : view.dtype();
  }

  void replace(View& view, Direction direction, DType dtype);
  void upload(const Image& image);
  void download(const Image& image);

  Backend& device_;
  DType activation_;
  std::vector<Image> images_;
};

}  // namespace reformer
