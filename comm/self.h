// The communicator of a run with one rank.
#pragma once

#include "comm/communicator.h"

namespace reformer {

class SelfCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string description() const override { return "one rank"; }

  std::unique_ptr<Pending> start_all_reduce_sum(const View& data) override;
  std::unique_ptr<Pending> start_broadcast(const View& data, int root) override;
  std::unique_ptr<Pending> start_all_gather(const View& part, const View& all) override;
  void barrier() override {}
};

}  // namespace reformer
