#include "kernels/mirror.h"

#include <utility>

#include "kernels/core/bfloat16.h"

namespace reformer {

void Mirror::finish() {
  for (const Image& image : images_) {
    if (image.is_result) download(image);
  }
}

void Mirror::replace(View& view, Direction direction, DType dtype) {
  if (!view.defined()) return;
  const bool is_result = direction == Direction::kOut || direction == Direction::kInOut;
  for (Image& image : images_) {  // aliases on the host are aliases on the device
    if (image.host.raw() != view.raw() || image.host.bytes() != view.bytes()) continue;
    image.is_result = image.is_result || is_result;
    view = image.device.reshape(view.shape());
    return;
  }
  Image image{.host = view, .device = {}, .memory = {}, .is_result = is_result};
  const size_t bytes = static_cast<size_t>(view.elements()) * size_of(dtype);
  constexpr size_t kArenaAlignment = 256;
  image.memory =
      device_.make_arena((bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment);
  image.device = image.memory->allocate(dtype, view.shape(), MemoryUse::kBlock);
  if (direction == Direction::kIn || direction == Direction::kInOut) upload(image);
  view = image.device;
  images_.push_back(std::move(image));
}

void Mirror::upload(const Image& image) {
  if (image.host.dtype() == image.device.dtype()) {
    device_.upload(image.host.raw(), image.device);
    return;
  }
  std::vector<BFloat16> rounded(static_cast<size_t>(image.host.elements()));
  const float* const values = image.host.data<float>();
  for (size_t i = 0; i < rounded.size(); ++i) rounded[i] = to_bfloat16(values[i]);
  device_.upload(rounded.data(), image.device);
  device_.synchronize();
}

void Mirror::download(const Image& image) {
  if (image.host.dtype() == image.device.dtype()) {
    device_.download(image.device, image.host.raw());
    return;
  }
  std::vector<BFloat16> values(static_cast<size_t>(image.host.elements()));
  device_.download(image.device, values.data());
  float* const host = image.host.data<float>();
  for (size_t i = 0; i < values.size(); ++i) host[i] = to_float(values[i]);
}

}  // namespace reformer
