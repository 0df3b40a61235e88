// From the addresses that the lanes of an instruction give to places in the host's memory, with
// every check on the way.
#pragma once

#include "tests/ptx/interpreter/lanes.h"
#include "tests/ptx/interpreter/warp.h"

namespace reformer::ptx {

struct MemoryAccess {
  Space space = Space::kGeneric;
  int bytes = 0;
  bool reads = false;
  bool writes = false;
};

// Addresses of an operand in brackets: offsets in shared memory for Space::kShared, else generic.
void addresses_of(const Instruction& in, Warp& warp, const Operand& operand, Space space,
                  LaneMask mask, LaneValues& addresses);

// Turns addresses into host addresses. Fault where a lane may not do what it wants to do.
void reach(const Instruction& in, Warp& warp, const MemoryAccess& access, LaneMask mask,
           LaneValues& addresses);

inline std::byte* host(u64 address) {
  return reinterpret_cast<std::byte*>(address);
}

// Accesses to global memory by blocks on several host threads are single-copy atomic up to 8 bytes.
template <class U>
u64 load(u64 address) {
  return __atomic_load_n(reinterpret_cast<const U*>(address), __ATOMIC_RELAXED);
}
template <class U>
void store(u64 address, u64 value) {
  __atomic_store_n(reinterpret_cast<U*>(address), static_cast<U>(value), __ATOMIC_RELEASE);
}
u64 load_bytes(u64 address, int bytes);
void store_bytes(u64 address, int bytes, u64 value);

}  // namespace reformer::ptx
