#include "tests/ptx/interpreter/global_races.h"

#include <algorithm>

namespace reformer::ptx {
namespace {

constexpr u64 kPageBytes = 4096;
constexpr u64 kWordBytes = 4;
constexpr u64 kLastClock = 4095;  // from here on all counts as ordered
constexpr u64 kSeveralWarps = 63;

// An access in 64 bits.
struct Past {
  u64 block;     // 24 bits, one more than its number
  u64 clock;     // 12
  u64 warp;      // 6, kSeveralWarps: several of the block
  u64 interval;  // 20
  u64 strong;    // 1
  u64 several;   // 1, several blocks
};

constexpr u64 packed(const Past& a) {
  return a.block | a.clock << 24 | a.warp << 36 | (a.interval & 0xfffff) << 42 | a.strong << 62 |
         a.several << 63;
}

constexpr Past unpacked(u64 bits) {
  return {bits & 0xffffff,      bits >> 24 & 0xfff, bits >> 36 & 63,
          bits >> 42 & 0xfffff, bits >> 62 & 1,     bits >> 63};
}

bool both_strong(u64 one, u64 other) {
  return (one & other & u64{1} << 62) != 0;
}

std::string describe(u64 before, bool writes, bool before_writes) {
  const Past access = unpacked(before);
  std::string other = "block " + std::to_string(access.block - 1);
  if (access.several != 0) {
    other = "several blocks";
  } else if (access.warp != kSeveralWarps) {
    other += ", warp " + std::to_string(access.warp);
  }
  return std::string("race in global memory: this ") + (writes ? "write" : "read") + " and a " +
         (before_writes ? "write" : "read") + " by " + other + ", which nothing orders";
}

}  // namespace

// Begins with a cell for each word, and gets one for each byte when a part of a word is accessed.
struct GlobalRaces::Page {
  std::vector<Cell> cells = std::vector<Cell>(kPageBytes / kWordBytes);
  u64 bytes_in_cell = kWordBytes;

  void refine() {
    std::vector<Cell> fine(kPageBytes);
    for (std::size_t i = 0; i < kPageBytes; ++i) fine[i] = cells[i / kWordBytes];
    cells = std::move(fine);
    bytes_in_cell = 1;
  }
};

GlobalRaces::GlobalRaces(u64 blocks) : clocks_(blocks) {}
GlobalRaces::~GlobalRaces() = default;

GlobalRaces::Page& GlobalRaces::page_of(DeviceAddress address) {
  const DeviceAddress number = address / kPageBytes;
  if (number != last_number_) {
    auto& page = pages_[number];
    if (page == nullptr) page = std::make_unique<Page>();
    last_number_ = number;
    last_page_ = page.get();
  }
  return *last_page_;
}

bool GlobalRaces::ordered(u64 before, const Agent& agent) const {
  const Past access = unpacked(before);
  const BlockClock& own = clocks_[agent.block];
  if (access.several != 0) return own.joined;
  if (access.block - 1 == agent.block) {
    return access.warp == static_cast<u64>(agent.warp) ||
           access.interval != (agent.interval & 0xfffff);
  }
  if (access.clock >= kLastClock) return true;
  return own.now.size() > access.block - 1 && own.now[access.block - 1] >= access.clock;
}

u64 GlobalRaces::check(const Agent& agent, u64 own, Cell& cell, bool reads, bool writes) const {
  if (cell.write != 0 && !both_strong(cell.write, own) && !ordered(cell.write, agent)) {
    return cell.write;
  }
  if (writes) {
    if (cell.read != 0 && !both_strong(cell.read, own) && !ordered(cell.read, agent)) {
      return cell.read;
    }
    cell = {own, 0};
  } else if (reads) {
    note_read(agent, own, cell);
  }
  return 0;
}

void GlobalRaces::note_read(const Agent& agent, u64 own, Cell& cell) const {
  if (cell.read == 0 || cell.read == own || ordered(cell.read, agent)) {
    cell.read = own;
    return;
  }
  Past both = unpacked(cell.read);
  both.strong &= unpacked(own).strong;
  if (both.block - 1 == agent.block) {
    both.warp = kSeveralWarps;
  } else {
    both.several = 1;
  }
  cell.read = packed(both);
}

std::string GlobalRaces::observe(const Agent& agent, DeviceAddress address, int bytes, bool reads,
                                 bool writes, const Strength& strength) {
  if (strength.strong) synchronise(agent.block, address, reads, writes, strength);
  const Clock& now = clocks_[agent.block].now;
  const u64 clock = now.size() > agent.block ? now[agent.block] : 0;
  const u64 own = packed({.block = agent.block + 1,
                          .clock = std::min(clock + 1, kLastClock),
                          .warp = static_cast<u64>(agent.warp),
                          .interval = agent.interval,
                          .strong = strength.strong ? u64{1} : u64{0},
                          .several = 0});
  const DeviceAddress end = address + static_cast<u64>(bytes);
  while (address < end) {
    Page& page = page_of(address);
    const bool part_of_word = address % kWordBytes != 0 || end - address < kWordBytes;
    if (part_of_word && page.bytes_in_cell != 1) page.refine();
    Cell& cell = page.cells[address % kPageBytes / page.bytes_in_cell];
    const Cell before = cell;
    if (const u64 racing = check(agent, own, cell, reads, writes)) {
      return describe(racing, writes, racing == before.write);
    }
    address += page.bytes_in_cell;
  }
  return "";
}

void GlobalRaces::join(Clock& into, const Clock& from) {
  if (into.size() < from.size()) into.resize(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

// What the block has done so far gets a clock value of its own; what it does from now on is later.
void GlobalRaces::publish(u64 block) {
  Clock& now = clocks_[block].now;
  if (now.size() <= block) now.resize(block + 1);
  if (now[block] < kLastClock) ++now[block];
}

void GlobalRaces::synchronise(u64 block, DeviceAddress address, bool reads, bool writes,
                              const Strength& strength) {
  BlockClock& own = clocks_[block];
  if (reads) {
    if (const auto found = locations_.find(address); found != locations_.end()) {
      join(strength.acquire ? own.now : own.pending, found->second);
      own.joined |= strength.acquire;
    }
  }
  if (!writes) return;
  if (strength.release) publish(block);
  const Clock& published = strength.release ? own.now : own.fenced;
  if (!published.empty()) join(locations_[address], published);
}

void GlobalRaces::fence(u64 block) {
  BlockClock& own = clocks_[block];
  if (!own.pending.empty()) {
    join(own.now, own.pending);
    own.joined = true;
  }
  publish(block);
  own.fenced = own.now;
}

}  // namespace reformer::ptx
