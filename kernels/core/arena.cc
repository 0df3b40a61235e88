#include "kernels/core/arena.h"

#include <utility>

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

constexpr size_t kAlignment = 256;

// Planning arenas hand out addresses from here on: aligned, and in the half of the address space
// where no program has memory.
constexpr uintptr_t kPlanningBase = uintptr_t{1} << (8 * sizeof(uintptr_t) - 1);

}  // namespace

std::string_view name_of(MemoryUse use) {
  switch (use) {
    case MemoryUse::kParameters:
      return "parameters";
    case MemoryUse::kGradients:
      return "gradients";
    case MemoryUse::kOptimizer:
      return "optimizer state";
    case MemoryUse::kSlots:
      return "slots";
    case MemoryUse::kStored:
      return "stored activations";
    case MemoryUse::kStreams:
      return "residual streams";
    case MemoryUse::kCache:
      return "keys and values";
    case MemoryUse::kExchange:
      return "exchange between ranks";
    case MemoryUse::kBlock:
      return "inside one block";
  }
  return "?";
}

bool is_planned(const View& view) {
  return reinterpret_cast<uintptr_t>(view.raw()) >= kPlanningBase;
}

Arena::Arena(void* base, size_t capacity, std::function<void()> release)
    : base_(base ? static_cast<std::byte*>(base) : reinterpret_cast<std::byte*>(kPlanningBase)),
      capacity_(capacity),
      release_(std::move(release)) {}

Arena::~Arena() {
  if (release_) release_();
}

View Arena::allocate(DType dtype, const Shape& shape, MemoryUse use) {
  const size_t wanted = static_cast<size_t>(shape.elements()) * size_of(dtype);
  const size_t bytes = (wanted + kAlignment - 1) / kAlignment * kAlignment;
  if (bytes > capacity_ - used_) {
    throw DeviceError(fmt::format("[arena] {} bytes for {} do not fit: {} of {} bytes are in use",
                                  bytes, name_of(use), used_, capacity_));
  }
  // Integer arithmetic: a planning address is no pointer into an object.
  const auto address = reinterpret_cast<uintptr_t>(base_) + used_;
  used_ += bytes;
  usage_[static_cast<size_t>(use)] += bytes;
  if (used_ > peak_) {
    peak_ = used_;
    usage_at_peak_ = usage_;
  }
  return View(reinterpret_cast<void*>(address), dtype, shape);
}

Arena::Mark::Mark(Arena& arena) : arena_(arena), used_(arena.used_), usage_(arena.usage_) {}

Arena::Mark::~Mark() {
  arena_.used_ = used_;
  arena_.usage_ = usage_;
}

}  // namespace reformer
