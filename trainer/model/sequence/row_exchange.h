// Rows of tensors on their way between the ranks of a group.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace reformer {

class RowExchange {
 public:
  struct Payload {
    View sent;      // [rows, …]: the rows for rank 0, for rank 1, …, and more that stay here
    View received;  // [rows, …]: room for the rows from rank 0, from rank 1, …
  };

  RowExchange() = default;

  /// Starts to send rows_to[r] rows of every payload to rank r, and to receive rows_from[r].
  /// Collective; as with Communicator, views are left alone until the wait returns.
  RowExchange(Communicator& ranks, std::span<const int64_t> rows_to,
              std::span<const int64_t> rows_from, std::initializer_list<Payload> payloads,
              const std::string& tag);

  /// Call once.
  void wait();

 private:
  std::vector<Pending> pending_;
};

}  // namespace reformer
