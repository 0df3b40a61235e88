#include "comm/communicator.h"

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

class Completed final : public Completion {
 public:
  bool wait_until(std::chrono::steady_clock::time_point) override { return true; }
};

bool can_be_summed(DType dtype) {
  return dtype == DType::kInt64 || dtype == DType::kFloat32 || dtype == DType::kFloat64;
}

View bytes_of(std::string& text) {
  return View(text.data(), DType::kUint8, {static_cast<int64_t>(text.size())});
}

}  // namespace

std::unique_ptr<Completion> completed() {
  return std::make_unique<Completed>();
}

void Pending::wait() {
  CHECK(completion_ != nullptr);
  // Gone afterwards, whatever happens: a wait that failed has nothing left to be destroyed later.
  const std::unique_ptr<Completion> completion = std::move(completion_);
  communicator_->wait(*completion, operation_, record_);
}

Pending Communicator::start_all_reduce_sum(const View& data, std::string tag) {
  return start({.kind = OperationKind::kAllReduceSum, .tag = std::move(tag), .data = data});
}

Pending Communicator::start_reduce_scatter_sum(const View& data, std::vector<Slice> slices,
                                               std::string tag) {
  return start({.kind = OperationKind::kReduceScatterSum,
                .tag = std::move(tag),
                .data = data,
                .slices = std::move(slices)});
}

Pending Communicator::start_all_gather(const View& data, std::vector<Slice> slices,
                                       std::string tag) {
  return start({.kind = OperationKind::kAllGather,
                .tag = std::move(tag),
                .data = data,
                .slices = std::move(slices)});
}

Pending Communicator::start_broadcast(const View& data, int root, std::string tag) {
  return start(
      {.kind = OperationKind::kBroadcast, .tag = std::move(tag), .data = data, .peer = root});
}

Pending Communicator::start_all_to_all(const View& sent, std::vector<Slice> sent_slices,
                                       const View& received, std::vector<Slice> received_slices,
                                       std::string tag) {
  return start({.kind = OperationKind::kAllToAll,
                .tag = std::move(tag),
                .data = sent,
                .slices = std::move(sent_slices),
                .received = received,
                .received_slices = std::move(received_slices)});
}

Pending Communicator::start_send(const View& data, int to, std::string tag) {
  return start({.kind = OperationKind::kSend, .tag = std::move(tag), .data = data, .peer = to});
}

Pending Communicator::start_receive(const View& data, int from, std::string tag) {
  return start(
      {.kind = OperationKind::kReceive, .tag = std::move(tag), .data = data, .peer = from});
}

Pending Communicator::start_exclusive_scan_sum(const View& data, std::string tag) {
  return start({.kind = OperationKind::kExclusiveScanSum, .tag = std::move(tag), .data = data});
}

void Communicator::all_reduce_sum(const View& data, std::string tag) {
  start_all_reduce_sum(data, std::move(tag)).wait();
}
void Communicator::reduce_scatter_sum(const View& data, std::vector<Slice> slices,
                                      std::string tag) {
  start_reduce_scatter_sum(data, std::move(slices), std::move(tag)).wait();
}
void Communicator::all_gather(const View& data, std::vector<Slice> slices, std::string tag) {
  start_all_gather(data, std::move(slices), std::move(tag)).wait();
}
void Communicator::broadcast(const View& data, int root, std::string tag) {
  start_broadcast(data, root, std::move(tag)).wait();
}
void Communicator::all_to_all(const View& sent, std::vector<Slice> sent_slices,
                              const View& received, std::vector<Slice> received_slices,
                              std::string tag) {
  start_all_to_all(sent, std::move(sent_slices), received, std::move(received_slices),
                   std::move(tag))
      .wait();
}
void Communicator::send(const View& data, int to, std::string tag) {
  start_send(data, to, std::move(tag)).wait();
}
void Communicator::receive(const View& data, int from, std::string tag) {
  start_receive(data, from, std::move(tag)).wait();
}
void Communicator::exclusive_scan_sum(const View& data, std::string tag) {
  start_exclusive_scan_sum(data, std::move(tag)).wait();
}

void Communicator::barrier(std::string tag) {
  start({.kind = OperationKind::kBarrier, .tag = std::move(tag)}).wait();
}

int64_t Communicator::sum(int64_t value, std::string tag) {
  all_reduce_sum(View(&value, DType::kInt64, {1}), std::move(tag));
  return value;
}

std::vector<int64_t> Communicator::gather(int64_t value, std::string tag) {
  std::vector<int64_t> values(static_cast<size_t>(size_));
  values[static_cast<size_t>(rank_)] = value;
  all_gather(View(values.data(), DType::kInt64, {size_}), equal_slices(1, size_), std::move(tag));
  return values;
}

std::vector<std::string> Communicator::gather_text(const std::string& text, std::string tag) {
  std::vector<Slice> slices;
  int64_t end = 0;
  for (const int64_t length : gather(static_cast<int64_t>(text.size()), tag)) {
    slices.push_back({end, end + length});
    end += length;
  }
  std::string joined(static_cast<size_t>(end), '\0');
  text.copy(joined.data() + slices[static_cast<size_t>(rank_)].begin, text.size());
  all_gather(bytes_of(joined), slices, std::move(tag));
  std::vector<std::string> texts;
  for (const Slice& slice : slices) {
    texts.push_back(
        joined.substr(static_cast<size_t>(slice.begin), static_cast<size_t>(slice.elements())));
  }
  return texts;
}

std::string Communicator::broadcast_text(const std::string& text, int root, std::string tag) {
  auto length = static_cast<int64_t>(text.size());
  broadcast(View(&length, DType::kInt64, {1}), root, tag);
  std::string received(static_cast<size_t>(length), '\0');
  if (rank_ == root) received = text;
  broadcast(bytes_of(received), root, std::move(tag));
  return received;
}

std::unique_ptr<Communicator> Communicator::split(int color, std::string tag) {
  CHECK_GE(color, 0);
  Operation operation{.kind = OperationKind::kSplit, .tag = std::move(tag), .peer = color};
  const uint64_t index = record(operation);
  std::unique_ptr<Communicator> group = begin_split(operation);
  setup_.recorder->finish(index);
  return group;
}

Pending Communicator::start(Operation operation) {
  check(operation);
  Pending pending;
  pending.record_ = record(operation);
  pending.completion_ = begin(operation);
  if (setup_.observer) setup_.observer->started(*this, operation, pending.record_);
  pending.operation_ = std::move(operation);
  pending.communicator_ = this;
  return pending;
}

void Communicator::check(const Operation& operation) const {
  switch (operation.kind) {
    case OperationKind::kAllReduceSum:
      CHECK(can_be_summed(operation.data.dtype()));
      break;
    case OperationKind::kReduceScatterSum:
      CHECK(can_be_summed(operation.data.dtype()));
      check_slices(operation.data, operation.slices);
      break;
    case OperationKind::kAllGather:
      check_slices(operation.data, operation.slices);
      break;
    case OperationKind::kBroadcast:
      CHECK(0 <= operation.peer && operation.peer < size_);
      break;
    case OperationKind::kAllToAll:
      CHECK_EQ(operation.data.dtype(), operation.received.dtype());
      check_slices(operation.data, operation.slices);
      check_slices(operation.received, operation.received_slices);
      break;
    case OperationKind::kSend:
    case OperationKind::kReceive:
      CHECK(0 <= operation.peer && operation.peer < size_);
      CHECK_NE(operation.peer, rank_);
      break;
    case OperationKind::kExclusiveScanSum:
      CHECK_EQ(operation.data.dtype(), DType::kInt64);
      break;
    case OperationKind::kBarrier:
      break;
    case OperationKind::kSplit:
      CHECK(!"split() makes groups");
  }
}

void Communicator::check_slices(const View& view, const std::vector<Slice>& slices) const {
  CHECK_EQ(slices.size(), static_cast<size_t>(size_));
  for (const Slice& slice : slices) {
    CHECK(0 <= slice.begin && slice.begin <= slice.end && slice.end <= view.elements());
  }
}

uint64_t Communicator::record(Operation& operation) {
  operation.sequence = operation.is_collective() ? ++collectives_ : ++point_to_point_;
  return setup_.recorder->start(operation);
}

void Communicator::wait(Completion& completion, const Operation& operation, uint64_t record) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  if (!completion.wait_until(begin + setup_.timeout)) {
    throw CommError(fmt::format("[comm] {} has waited {} for the other ranks", describe(operation),
                                describe(setup_.timeout)));
  }
  seconds_waited_ += std::chrono::duration<double>(Clock::now() - begin).count();
  if (setup_.observer) setup_.observer->waited(record);
  completion.when_complete([recorder = setup_.recorder, record] { recorder->finish(record); });
}

std::string describe(std::chrono::milliseconds duration) {
  return fmt::format("{:g} s", std::chrono::duration<double>(duration).count());
}

std::vector<Slice> equal_slices(int64_t each, int ranks) {
  std::vector<Slice> slices;
  for (int rank = 0; rank < ranks; ++rank) slices.push_back({rank * each, (rank + 1) * each});
  return slices;
}

}  // namespace reformer
