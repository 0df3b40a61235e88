// The global memory of the device as the interpreter sees it. The owner of the memory (the stand-in
// runtime, or HeapMemory in tests) implements it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace reformer::ptx {

using DeviceAddress = std::uint64_t;

enum class Access { kRead, kWrite };

// Why an access is not legal: "use after free of an allocation of 64 bytes", "out of bounds by 4
// bytes of an allocation of 1,024 bytes". The interpreter adds the place and throws it on as a
// Fault.
class AccessError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One allocation. It stays where it is while a kernel runs.
struct Allocation {
  DeviceAddress begin = 1;  // begin > end: holds nothing
  DeviceAddress end = 0;
  std::byte* host = nullptr;  // of the byte at `begin`, and aligned as that address is
  // One byte for each byte of memory, 1 once it was written, aligned likewise; null: not watched.
  // The interpreter marks what kernels write and refuses to read what is not marked; the owner
  // marks what the host copies or sets.
  std::uint8_t* written = nullptr;
};

class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  // The allocation that holds all of [address, address + bytes); AccessError where there is none.
  // Asked once for each warp and allocation, not for each access: the answers are kept for the rest
  // of the launch. Called by several host threads at once.
  virtual Allocation find(DeviceAddress address, std::size_t bytes, Access access) const = 0;

  // Memory for a module's variable `name`, zeroed and marked as written. Lives as long as the
  // module.
  virtual Allocation allocate_variable(std::string_view name, std::size_t bytes,
                                       std::size_t alignment) = 0;
};

// Device addresses at and above this one are the interpreter's: generic addresses of shared, local
// and parameter memory, and of functions.
inline constexpr DeviceAddress kReservedAddresses = 0x7f00'0000'0000'0000;

}  // namespace reformer::ptx
