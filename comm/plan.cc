#include "comm/plan.h"

namespace reformer {
namespace {

class Done final : public Completion {
 public:
  bool wait_until(std::chrono::steady_clock::time_point) override { return true; }
};

}  // namespace

std::unique_ptr<Completion> PlanCommunicator::begin(const Operation&) {
  return std::make_unique<Done>();
}

std::unique_ptr<Communicator> PlanCommunicator::begin_split(const Operation&) {
  return std::make_unique<PlanCommunicator>(rank(), size());
}

}  // namespace reformer
