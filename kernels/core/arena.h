// One block of backend memory, handed out from its low end like a stack.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <string_view>

#include "kernels/core/dtype.h"
#include "kernels/core/shape.h"
#include "kernels/core/view.h"

namespace reformer {

/// What memory is used for; the memory report has one line for each.
enum class MemoryUse : uint8_t {
  kParameters,
  kGradients,
  kOptimizer,
  kSlots,     // sorted order of every LSH layer, kept from the forward to the backward pass
  kStored,    // activations kept per layer when the stack stores instead of reconstructing
  kStreams,   // residual streams and their gradients
  kCache,     // keys and values of the tokens that a decoder has seen
  kExchange,  // inside a block: what is sent to and fetched from other ranks
  kBlock,     // everything else that lives only inside one block
};
inline constexpr int kMemoryUses = 9;

std::string_view name_of(MemoryUse use);

/// Bytes for each MemoryUse.
using MemoryUsage = std::array<size_t, kMemoryUses>;

/// True for views on planning arenas, which have made-up addresses.
bool is_planned(const View& view);

/// Not thread-safe. Allocations are aligned to 256 bytes and uninitialised.
class Arena {
 public:
  /// Manages [base, base + capacity); `release`, if set, runs at destruction. A null `base` makes a
  /// planning arena: views have made-up addresses that must not be dereferenced (is_planned),
  /// nothing is reserved, and only the accounting is real.
  Arena(void* base, size_t capacity, std::function<void()> release = {});
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// Throws DeviceError when the capacity does not suffice.
  View allocate(DType dtype, const Shape& shape, MemoryUse use);

  size_t used() const { return used_; }
  size_t capacity() const { return capacity_; }

  /// Largest used() so far, and the usage by kind at that moment.
  size_t peak() const { return peak_; }
  const MemoryUsage& usage_at_peak() const { return usage_at_peak_; }

  /// Gives back, at the end of its scope, what was allocated since its construction. Marks nest.
  class Mark {
   public:
    explicit Mark(Arena& arena);
    ~Mark();
    Mark(const Mark&) = delete;
    Mark& operator=(const Mark&) = delete;

   private:
    Arena& arena_;
    size_t used_;
    MemoryUsage usage_;
  };

 private:
  std::byte* base_;
  size_t capacity_;
  std::function<void()> release_;

  size_t used_ = 0;
  MemoryUsage usage_{};
  size_t peak_ = 0;
  MemoryUsage usage_at_peak_{};
};

}  // namespace reformer
