// The communicator of a run with one rank.
#pragma once

#include "comm/communicator.h"

namespace reformer {

class SelfCommunicator final : public Communicator {
 public:
  explicit SelfCommunicator(CommunicatorSetup setup = {}) : Communicator(0, 1, std::move(setup)) {}

  std::string description() const override { return "one rank"; }

 private:
  std::unique_ptr<Completion> begin(const Operation& operation) override;
  std::unique_ptr<Communicator> begin_split(const Operation& operation) override;
};

}  // namespace reformer
