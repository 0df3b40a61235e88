// What a rank sends: bytes on the wire, for each purpose.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "comm/communicator.h"

namespace reformer {

/// Bytes that rank `rank` of `size` sends to other ranks in `operation`, without what the network
/// adds. Where MPI chooses the way, that of its usual algorithms: a ring for an all-reduce of
/// Int64, a binomial tree for a broadcast, recursive doubling for a scan. See comm/README.md.
int64_t bytes_sent(const Operation& operation, int rank, int size);

/// What an operation is for, without the place: "gradients" of the tag "gradients of layer 3",
/// "attention heads in" of "attention of layer 3: heads in".
std::string purpose_of(std::string_view tag);

/// Adds up what one rank sends in all its groups.
class Traffic final : public OperationObserver {
 public:
  struct Sum {
    int64_t operations = 0;
    int64_t bytes = 0;

    bool operator==(const Sum&) const = default;
  };
  using ByPurpose = std::map<std::string, Sum, std::less<>>;

  void started(const Communicator& group, const Operation& operation, uint64_t id) override;
  void waited(uint64_t) override {}

  /// Of all operations so far, those that send nothing included.
  const ByPurpose& by_purpose() const { return by_purpose_; }
  Sum total() const;

 private:
  ByPurpose by_purpose_;
};

}  // namespace reformer
