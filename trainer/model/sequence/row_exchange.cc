#include "trainer/model/sequence/row_exchange.h"

namespace reformer {
namespace {

std::vector<Slice> slices_of_rows(std::span<const int64_t> rows, const View& view) {
  int64_t width = 1;
  for (int i = 1; i < view.shape().rank(); ++i) width *= view.shape()[i];
  std::vector<Slice> slices;
  int64_t begin = 0;
  for (const int64_t count : rows) {
    slices.push_back({begin, begin + count * width});
    begin = slices.back().end;
  }
  return slices;
}

}  // namespace

RowExchange::RowExchange(Communicator& ranks, std::span<const int64_t> rows_to,
                         std::span<const int64_t> rows_from,
                         std::initializer_list<Payload> payloads, const std::string& tag) {
  for (const Payload& payload : payloads) {
    pending_.push_back(ranks.start_all_to_all(payload.sent, slices_of_rows(rows_to, payload.sent),
                                              payload.received,
                                              slices_of_rows(rows_from, payload.received), tag));
  }
}

void RowExchange::wait() {
  for (Pending& pending : pending_) pending.wait();
  pending_.clear();
}

}  // namespace reformer
