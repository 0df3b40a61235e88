// One rank among many that are not there. Operations end at once and move nothing, but for an
// all-to-all in host memory, where every other rank is taken to send what this one sends it:
// running a step on it shows what the step takes (trainer/memory_plan.h).
#pragma once

#include "comm/communicator.h"

namespace reformer {

class PlanCommunicator final : public Communicator {
 public:
  PlanCommunicator(int rank, int size, CommunicatorSetup setup = {})
      : Communicator(rank, size, std::move(setup)) {}

  std::string description() const override { return "a plan"; }

 private:
  std::unique_ptr<Completion> begin(const Operation& operation) override;
  /// REQUIRES: every rank has the same color.
  std::unique_ptr<Communicator> begin_split(const Operation& operation) override;
};

}  // namespace reformer
