// The calls of one group on one communicator, while they are under way: what goes to the other
// ranks, what comes from them, and what becomes of it.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "tests/ptx/nccl/calls.h"
#include "tests/ptx/nccl/segment.h"

namespace reformer::ptx::nccl {

/// A rank's place in a communicator, and the memory that its ranks share.
struct Place {
  const Segment* segment = nullptr;
  int rank = 0;
  int size = 1;
};

/// Where the host finds memory of a call, as ptxHostPointer (stream_steps.h) says.
using FindMemory = void* (*)(const void* memory, size_t bytes, int write);

class Exchange {
 public:
  enum class State {
    kUnderWay,
    kComplete,
    kMismatch,   // a rank called something else
    kBadMemory,  // a buffer is not device memory
  };

  /// `pretended` is added to the counts that other ranks are told.
  Exchange(const Place& place, std::vector<Call> calls, FindMemory find_memory,
           uint64_t pretended = 0);

  /// Moves as many bytes as can be moved now; at the end the results lie in their buffers. Reads
  /// and writes the buffers: to be called only when the stream has come here.
  State advance();

  /// What went wrong, after kMismatch and kBadMemory.
  const std::string& error() const { return error_; }

 private:
  struct Outgoing {
    int to;
    MessageHeader header;
    const std::byte* data;
    size_t moved = 0;  // bytes, header first
  };
  struct Incoming {
    int from;
    size_t call;
    size_t bytes;
    MessageHeader header{};
    std::vector<std::byte> data{};
    size_t moved = 0;
  };

  bool begin();
  bool plan(size_t index);
  const std::byte* readable(const void* memory, size_t bytes);
  void send(const Call& call, int to, const std::byte* data, size_t bytes);
  void expect(size_t call, int from, size_t bytes);
  bool move_out(Outgoing& message);
  bool move_in(Incoming& message);
  bool finish();
  bool finish(size_t index);
  bool deliver(void* to, const void* from, size_t bytes);
  const std::byte* received(size_t call, int from) const;
  std::vector<std::byte> sum(size_t index, const std::byte* own) const;

  const Place place_;
  const std::vector<Call> calls_;
  const FindMemory find_memory_;
  const uint64_t pretended_;
  State state_ = State::kUnderWay;
  bool begun_ = false;
  std::string error_;
  std::vector<const std::byte*> sent_;          // what each call sends, as the host sees it
  std::vector<std::deque<Outgoing>> outgoing_;  // by rank, in the order of the calls
  std::vector<std::deque<Incoming>> incoming_;
  std::vector<Incoming> arrived_;
};

}  // namespace reformer::ptx::nccl
