#include "tests/ptx/nccl/exchange.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "tests/ptx/nccl/summation.h"

namespace reformer::ptx::nccl {

Exchange::Exchange(const Place& place, std::vector<Call> calls, FindMemory find_memory,
                   uint64_t pretended)
    : place_(place),
      calls_(std::move(calls)),
      find_memory_(find_memory),
      pretended_(pretended),
      sent_(calls_.size()),
      outgoing_(static_cast<size_t>(place.size)),
      incoming_(static_cast<size_t>(place.size)) {}

Exchange::State Exchange::advance() {
  if (state_ != State::kUnderWay) return state_;
  if (!begun_ && !begin()) return state_ = State::kBadMemory;
  bool waits = false;
  for (std::deque<Outgoing>& queue : outgoing_) {
    while (!queue.empty() && move_out(queue.front())) queue.pop_front();
    waits |= !queue.empty();
  }
  for (std::deque<Incoming>& queue : incoming_) {
    while (!queue.empty() && move_in(queue.front())) {
      arrived_.push_back(std::move(queue.front()));
      queue.pop_front();
    }
    if (!error_.empty()) return state_ = State::kMismatch;
    waits |= !queue.empty();
  }
  if (waits) return state_;
  return state_ = finish() ? State::kComplete : State::kBadMemory;
}

bool Exchange::begin() {
  begun_ = true;
  for (size_t i = 0; i < calls_.size(); ++i) {
    if (!plan(i)) return false;
  }
  return true;
}

/// Lays out the messages of a call. Ranks that have nothing to say to each other in a collective
/// still tell what they called.
bool Exchange::plan(size_t index) {
  const Call& call = calls_[index];
  const size_t bytes = call.count * size_of(call.dtype);
  const auto size = static_cast<size_t>(place_.size);
  const bool is_root = call.peer == place_.rank;
  const bool sends =
      call.kind != CallKind::kReceive && (call.kind != CallKind::kBroadcast || is_root);
  if (sends) {
    sent_[index] =
        readable(call.send, call.kind == CallKind::kReduceScatter ? bytes * size : bytes);
    if (!error_.empty()) return false;
  }
  if (call.kind == CallKind::kSend) {
    send(call, call.peer, sent_[index], bytes);
    return true;
  }
  if (call.kind == CallKind::kReceive) {
    expect(index, call.peer, bytes);
    return true;
  }
  for (int other = 0; other < place_.size; ++other) {
    if (other == place_.rank) continue;
    const std::byte* data = sent_[index];
    size_t there = bytes;
    size_t here = bytes;
    if (call.kind == CallKind::kReduceScatter) data += static_cast<size_t>(other) * bytes;
    if (call.kind == CallKind::kReduce) {
      there = other == call.peer ? bytes : 0;
      here = is_root ? bytes : 0;
    }
    if (call.kind == CallKind::kBroadcast) {
      there = is_root ? bytes : 0;
      here = other == call.peer ? bytes : 0;
    }
    send(call, other, data, there);
    expect(index, other, here);
  }
  return true;
}

const std::byte* Exchange::readable(const void* memory, size_t bytes) {
  if (bytes == 0) return nullptr;
  const auto* const host = static_cast<const std::byte*>(find_memory_(memory, bytes, 0));
  if (host == nullptr) {
    error_ = fmt::format("{} bytes to be read at {} are not device memory", bytes, memory);
  }
  return host;
}

void Exchange::send(const Call& call, int to, const std::byte* data, size_t bytes) {
  MessageHeader header = header_of(call, bytes);
  header.count += pretended_;
  outgoing_[static_cast<size_t>(to)].push_back({.to = to, .header = header, .data = data});
}

void Exchange::expect(size_t call, int from, size_t bytes) {
  incoming_[static_cast<size_t>(from)].push_back({.from = from, .call = call, .bytes = bytes});
}

/// True once all of it is on its way.
bool Exchange::move_out(Outgoing& message) {
  Channel& channel = place_.segment->channel(place_.rank, message.to);
  constexpr size_t kHeader = sizeof(MessageHeader);
  if (message.moved < kHeader) {
    const auto* const header = reinterpret_cast<const std::byte*>(&message.header);
    message.moved += channel.write(header + message.moved, kHeader - message.moved);
    if (message.moved < kHeader) return false;
  }
  const size_t at = message.moved - kHeader;
  if (at < message.header.bytes) {
    message.moved += channel.write(message.data + at, message.header.bytes - at);
  }
  return message.moved == kHeader + message.header.bytes;
}

/// True once all of it is here, and what the other rank called is what this one expects.
bool Exchange::move_in(Incoming& message) {
  Channel& channel = place_.segment->channel(message.from, place_.rank);
  constexpr size_t kHeader = sizeof(MessageHeader);
  if (message.moved < kHeader) {
    auto* const header = reinterpret_cast<std::byte*>(&message.header);
    message.moved += channel.read(header + message.moved, kHeader - message.moved);
    if (message.moved < kHeader) return false;
    const Call& own = calls_[message.call];
    if (!matches(message.header, own)) {
      error_ = fmt::format("rank {} called {}, rank {} called {}", message.from,
                           describe(message.header), place_.rank, describe(header_of(own, 0)));
      return false;
    }
    message.data.resize(message.bytes);
  }
  const size_t at = message.moved - kHeader;
  if (at < message.bytes) {
    message.moved += channel.read(message.data.data() + at, message.bytes - at);
  }
  return message.moved == kHeader + message.bytes;
}

bool Exchange::finish() {
  for (size_t i = 0; i < calls_.size(); ++i) {
    if (!finish(i)) return false;
  }
  return true;
}

bool Exchange::finish(size_t index) {
  const Call& call = calls_[index];
  const size_t bytes = call.count * size_of(call.dtype);
  const auto rank = static_cast<size_t>(place_.rank);
  switch (call.kind) {
    case CallKind::kAllReduce:
      return deliver(call.receive, sum(index, sent_[index]).data(), bytes);
    case CallKind::kReduce:
      return call.peer != place_.rank ||
             deliver(call.receive, sum(index, sent_[index]).data(), bytes);
    case CallKind::kReduceScatter:
      return deliver(call.receive, sum(index, sent_[index] + rank * bytes).data(), bytes);
    case CallKind::kAllGather:
    case CallKind::kSplit:
      for (int from = 0; from < place_.size; ++from) {
        const std::byte* const slice = from == place_.rank ? sent_[index] : received(index, from);
        auto* const to = static_cast<std::byte*>(call.receive) + static_cast<size_t>(from) * bytes;
        if (!deliver(to, slice, bytes)) return false;
      }
      return true;
    case CallKind::kBroadcast:
      return deliver(call.receive,
                     call.peer == place_.rank ? sent_[index] : received(index, call.peer), bytes);
    case CallKind::kReceive:
      return deliver(call.receive, received(index, call.peer), bytes);
    case CallKind::kSend:
      return true;
  }
  return true;
}

bool Exchange::deliver(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return true;
  void* const host = find_memory_(to, bytes, 1);
  if (host == nullptr) {
    error_ = fmt::format("{} bytes to be written at {} are not device memory", bytes, to);
    return false;
  }
  std::memmove(host, from, bytes);
  return true;
}

const std::byte* Exchange::received(size_t call, int from) const {
  const auto found = std::find_if(arrived_.begin(), arrived_.end(), [&](const Incoming& message) {
    return message.call == call && message.from == from;
  });
  return found->data.data();
}

/// Σ over ranks of what they sent, in rank order; `own` is this rank's term.
std::vector<std::byte> Exchange::sum(size_t index, const std::byte* own) const {
  const Call& call = calls_[index];
  const size_t bytes = call.count * size_of(call.dtype);
  std::vector<std::byte> total(bytes);
  if (bytes == 0) return total;
  for (int from = 0; from < place_.size; ++from) {
    const std::byte* const term = from == place_.rank ? own : received(index, from);
    if (from == 0) {
      std::memcpy(total.data(), term, bytes);
    } else {
      add(total.data(), term, call.count, call.dtype);
    }
  }
  return total;
}

}  // namespace reformer::ptx::nccl
