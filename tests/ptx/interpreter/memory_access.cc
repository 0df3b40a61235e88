#include "tests/ptx/interpreter/memory_access.h"

#include <fmt/format.h>

namespace reformer::ptx {
namespace {

const char* verb(const MemoryAccess& access) {
  if (access.reads && access.writes) return "atomic";
  return access.writes ? "write" : "read";
}

[[noreturn]] void misaligned(Warp& warp, const MemoryAccess& access, int lane, u64 address) {
  warp.fault(fmt::format("misaligned {} of {} bytes at {:#x}", verb(access), access.bytes, address),
             lane);
}

[[noreturn]] void outside(Warp& warp, const MemoryAccess& access, int lane, const char* what,
                          u64 offset, u64 size) {
  warp.fault(fmt::format("out of bounds of {} memory of {} bytes ({} of {} bytes at offset {})",
                         what, size, verb(access), access.bytes, static_cast<s64>(offset)),
             lane);
}

// Notes accesses to shared memory, given as offsets.
void observe_shared(const Instruction& in, Warp& warp, const MemoryAccess& access, LaneMask mask,
                    const LaneValues& offsets) {
  SharedMemory::Accesses accesses{.warp = warp.number,
                                  .lane_epoch = warp.lane_epoch,
                                  .lanes = mask,
                                  .offsets = offsets.data(),
                                  .bytes = access.bytes,
                                  .access = access.reads ? Access::kRead : Access::kWrite,
                                  .strong = in.strong};
  auto conflict = warp.block.shared.observe(accesses);
  if (!conflict && access.reads && access.writes) {
    accesses.access = Access::kWrite;
    conflict = warp.block.shared.observe(accesses);
  }
  if (conflict) warp.fault(conflict->reason, conflict->lane);
}

void reach_shared(const Instruction& in, Warp& warp, const MemoryAccess& access, LaneMask mask,
                  LaneValues& offsets) {
  SharedMemory& shared = warp.block.shared;
  const u64 alignment = static_cast<u64>(access.bytes) - 1;
  const u64 bytes = static_cast<u64>(access.bytes);
  u64 bad = 0;
  for_lanes(mask, [&](int l) {
    bad |= (offsets[l] & alignment) | (offsets[l] + bytes > shared.size() ? 1 : 0);
  });
  if (bad != 0) {
    for_lanes(mask, [&](int l) {
      if (offsets[l] + bytes > shared.size()) {
        outside(warp, access, l, "shared", offsets[l], shared.size());
      }
      if ((offsets[l] & alignment) != 0) misaligned(warp, access, l, offsets[l]);
    });
  }
  observe_shared(in, warp, access, mask, offsets);
  const u64 base = reinterpret_cast<u64>(shared.data());
  for_lanes(mask, [&](int l) { offsets[l] += base; });
}

void observe_race(const Instruction& in, Warp& warp, const MemoryAccess& access, int lane,
                  u64 address) {
  const GlobalRaces::Agent agent{warp.block.index, warp.number, warp.block.interval};
  const std::string race =
      warp.launch.races->observe(agent, address, access.bytes, access.reads, access.writes,
                                 {in.strong, in.acquire, in.release});
  if (!race.empty()) warp.fault(fmt::format("{} at {:#x}", race, address), lane);
}

// The bytes of an access, as a mask that a load of flags of written bytes must equal.
bool all_written(const u8* written, int bytes) {
  switch (bytes) {
    case 1:
      return *written != 0;
    case 2:
      return load<u16>(reinterpret_cast<u64>(written)) == 0x0101;
    case 4:
      return load<u32>(reinterpret_cast<u64>(written)) == 0x01010101;
    default:
      for (int i = 0; i < bytes; i += 8) {
        if (load<u64>(reinterpret_cast<u64>(written + i)) != 0x0101010101010101) return false;
      }
      return true;
  }
}

void mark_written(u8* written, int bytes) {
  switch (bytes) {
    case 1:
      return store<u8>(reinterpret_cast<u64>(written), 1);
    case 2:
      return store<u16>(reinterpret_cast<u64>(written), 0x0101);
    case 4:
      return store<u32>(reinterpret_cast<u64>(written), 0x01010101);
    default:
      for (int i = 0; i < bytes; i += 8) {
        store<u64>(reinterpret_cast<u64>(written + i), 0x0101010101010101);
      }
  }
}

void watch(Warp& warp, const MemoryAccess& access, const Allocation& allocation, int lane,
           u64 address) {
  u8* written = allocation.written + (address - allocation.begin);
  if (access.reads && !all_written(written, access.bytes)) {
    warp.fault(fmt::format("read of {} bytes that were never written, at {:#x}, offset {} of an "
                           "allocation of {} bytes",
                           access.bytes, address, address - allocation.begin,
                           allocation.end - allocation.begin),
               lane);
  }
  if (access.writes) mark_written(written, access.bytes);
}

// The allocation that holds what a lane wants; the last few are remembered.
const Allocation& allocation_for(Warp& warp, const MemoryAccess& access, int lane, u64 address) {
  const u64 bytes = static_cast<u64>(access.bytes);
  for (const Allocation& known : warp.allocations) {
    if (address >= known.begin && address + bytes <= known.end) return known;
  }
  Allocation& place = warp.allocations[warp.next_allocation++ % warp.allocations.size()];
  try {
    place = warp.launch.memory->find(address, static_cast<std::size_t>(access.bytes),
                                     access.writes ? Access::kWrite : Access::kRead);
  } catch (const AccessError& error) {
    warp.fault(fmt::format("{} ({} of {} bytes at {:#x})", error.what(), verb(access), access.bytes,
                           address),
               lane);
  }
  return place;
}

u64 reach_window(Warp& warp, const MemoryAccess& access, int lane, const char* what, u64 offset,
                 std::byte* begin, u64 size) {
  const u64 bytes = static_cast<u64>(access.bytes);
  if (offset > size || bytes > size - offset) outside(warp, access, lane, what, offset, size);
  if ((offset & (bytes - 1)) != 0) misaligned(warp, access, lane, offset);
  return reinterpret_cast<u64>(begin) + offset;
}

// One lane, anywhere.
u64 reach_lane(const Instruction& in, Warp& warp, const MemoryAccess& access, int lane,
               u64 address) {
  LaunchState& launch = warp.launch;
  if (address < kReservedAddresses) {
    if ((address & (static_cast<u64>(access.bytes) - 1)) != 0) {
      misaligned(warp, access, lane, address);
    }
    const Allocation& allocation = allocation_for(warp, access, lane, address);
    if (allocation.written != nullptr && launch.options.unwritten_global) {
      watch(warp, access, allocation, lane, address);
    }
    if (launch.races != nullptr) observe_race(in, warp, access, lane, address);
    return reinterpret_cast<u64>(allocation.host) + (address - allocation.begin);
  }
  if (in_window(address, kLocalWindow)) {
    return reach_window(warp, access, lane, "local", address - kLocalWindow, warp.local(lane),
                        warp.local_bytes());
  }
  if (in_window(address, kSharedWindow)) {
    LaneValues offsets{};
    offsets[lane] = address - kSharedWindow;
    reach_shared(in, warp, access, LaneMask{1} << lane, offsets);
    return offsets[lane];
  }
  if (in_window(address, kFrameWindow)) {
    std::byte* begin = warp.parameters + static_cast<std::size_t>(lane) * warp.parameter_stride;
    return reach_window(warp, access, lane, "parameter", address - kFrameWindow, begin,
                        warp.parameter_stride);
  }
  if (in_window(address, kParameterWindow) && !access.writes) {
    return reach_window(warp, access, lane, "parameter", address - kParameterWindow,
                        launch.parameters.data(), launch.parameters.size());
  }
  if (in_window(address, kGridWindow)) {
    if (launch.races != nullptr) observe_race(in, warp, access, lane, address);
    return reach_window(warp, access, lane, "grid", address - kGridWindow,
                        reinterpret_cast<std::byte*>(launch.grid_workspace.data()),
                        sizeof launch.grid_workspace);
  }
  warp.fault(fmt::format("an address that is nowhere ({} of {} bytes at {:#x})", verb(access),
                         access.bytes, address),
             lane);
}

void reach_global(const Instruction& in, Warp& warp, const MemoryAccess& access, LaneMask mask,
                  LaneValues& addresses) {
  const u64 alignment = static_cast<u64>(access.bytes) - 1;
  const u64 first = addresses[first_lane(mask)];
  if (first < kReservedAddresses) {
    const Allocation allocation = allocation_for(warp, access, first_lane(mask), first);
    const u64 last = allocation.end - allocation.begin - static_cast<u64>(access.bytes);
    u64 bad = 0;
    for_lanes(mask, [&](int l) {
      bad |= (addresses[l] & alignment) | (addresses[l] - allocation.begin > last ? 1 : 0);
    });
    if (bad == 0) {
      if (allocation.written != nullptr && warp.launch.options.unwritten_global) {
        for_lanes(mask, [&](int l) { watch(warp, access, allocation, l, addresses[l]); });
      }
      if (warp.launch.races != nullptr) {
        for_lanes(mask, [&](int l) { observe_race(in, warp, access, l, addresses[l]); });
      }
      const u64 distance = reinterpret_cast<u64>(allocation.host) - allocation.begin;
      for_lanes(mask, [&](int l) { addresses[l] += distance; });
      return;
    }
  }
  for_lanes(mask, [&](int l) { addresses[l] = reach_lane(in, warp, access, l, addresses[l]); });
}

}  // namespace

void addresses_of(const Instruction&, Warp& warp, const Operand& operand, Space space,
                  LaneMask mask, LaneValues& addresses) {
  const Source source(warp, operand);
  const u64* values = source.data();
  const u64 offset = static_cast<u64>(operand.offset);
  u64* at = addresses.data();
  if (space == Space::kShared) {
    for_lanes(mask, [=](int l) { at[l] = static_cast<u32>(values[l] + offset); });
  } else {
    for_lanes(mask, [=](int l) { at[l] = values[l] + offset; });
  }
}

void reach(const Instruction& in, Warp& warp, const MemoryAccess& access, LaneMask mask,
           LaneValues& addresses) {
  if (in.strong) {
    // Who reads like that may be waiting for another warp or block, which is to have its turn soon.
    warp.budget -= 50;
    warp.yielded |= !access.writes;
  }
  if (access.space == Space::kShared) {
    reach_shared(in, warp, access, mask, addresses);
  } else if (access.space == Space::kGlobal || access.space == Space::kConstant ||
             access.space == Space::kGeneric) {
    reach_global(in, warp, access, mask, addresses);
  } else {
    for_lanes(mask, [&](int l) { addresses[l] = reach_lane(in, warp, access, l, addresses[l]); });
  }
}

u64 load_bytes(u64 address, int bytes) {
  switch (bytes) {
    case 1:
      return load<u8>(address);
    case 2:
      return load<u16>(address);
    case 4:
      return load<u32>(address);
    default:
      return load<u64>(address);
  }
}

void store_bytes(u64 address, int bytes, u64 value) {
  switch (bytes) {
    case 1:
      return store<u8>(address, value);
    case 2:
      return store<u16>(address, value);
    case 4:
      return store<u32>(address, value);
    default:
      return store<u64>(address, value);
  }
}

}  // namespace reformer::ptx
