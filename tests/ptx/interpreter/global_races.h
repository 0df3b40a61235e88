// Finds races in global memory within one launch: between blocks, and between warps of a block.
//
// Two accesses to a byte race where one of them writes, not both are strong, and nothing orders
// them. Warps of a block are ordered by its barriers. Blocks are ordered as in the memory model of
// PTX, with a block for a thread: a fence (or .release) followed by a strong write, a strong read
// of that location followed by a fence (or .acquire). Each block has a vector clock for that; a
// byte remembers its last write and its last reader (FastTrack, Flanagan and Freund 2009,
// simplified: where several blocks have read a byte, a later write by a block that has synchronised
// with any other is taken for ordered).
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/ptx/interpreter/device_memory.h"
#include "tests/ptx/interpreter/program.h"

namespace reformer::ptx {

class GlobalRaces {
 public:
  explicit GlobalRaces(u64 blocks);
  ~GlobalRaces();

  struct Agent {
    u64 block = 0;
    int warp = 0;
    u32 interval = 0;  // barriers that the block has passed
  };
  struct Strength {
    bool strong = false;
    bool acquire = false;
    bool release = false;
  };

  // Why an access races; empty where it does not. To be called before the access, with no other
  // access in between: all blocks run on one host thread.
  std::string observe(const Agent& agent, DeviceAddress address, int bytes, bool reads, bool writes,
                      const Strength& strength);
  void fence(u64 block);

 private:
  using Clock = std::vector<u16>;  // [block]; what is missing counts as 0
  struct BlockClock {
    Clock now;            // what of each block has happened before
    Clock fenced;         // the same at the last fence: what a strong write publishes
    Clock pending;        // seen by strong reads, taken over by the next fence
    bool joined = false;  // has taken over anything
  };
  struct Cell {  // of a byte or a word; packed as in global_races.cc, 0 for none
    u64 write = 0;
    u64 read = 0;
  };
  struct Page;

  Page& page_of(DeviceAddress address);
  // The earlier access that this one races with; 0 for none.
  u64 check(const Agent& agent, u64 own, Cell& cell, bool reads, bool writes) const;
  bool ordered(u64 before, const Agent& agent) const;
  void note_read(const Agent& agent, u64 own, Cell& cell) const;
  void synchronise(u64 block, DeviceAddress address, bool reads, bool writes,
                   const Strength& strength);
  void publish(u64 block);
  static void join(Clock& into, const Clock& from);

  std::vector<BlockClock> clocks_;
  std::unordered_map<DeviceAddress, Clock> locations_;
  std::unordered_map<DeviceAddress, std::unique_ptr<Page>> pages_;
  DeviceAddress last_number_ = ~DeviceAddress{0};
  Page* last_page_ = nullptr;
};

}  // namespace reformer::ptx
