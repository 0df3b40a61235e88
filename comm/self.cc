#include "comm/self.h"

#include <cstring>

namespace reformer {
namespace {

class Done final : public Pending {
 public:
  void wait() override {}
};

}  // namespace

std::unique_ptr<Pending> SelfCommunicator::start_all_reduce_sum(const View& data) {
  CHECK(data.dtype() == DType::kInt64 || data.dtype() == DType::kFloat32 ||
        data.dtype() == DType::kFloat64);
  return std::make_unique<Done>();
}

std::unique_ptr<Pending> SelfCommunicator::start_broadcast(const View&, int root) {
  CHECK_EQ(root, 0);
  return std::make_unique<Done>();
}

std::unique_ptr<Pending> SelfCommunicator::start_all_gather(const View& part, const View& all) {
  CHECK_EQ(part.dtype(), all.dtype());
  CHECK_EQ(part.elements(), all.elements());
  if (part.bytes() > 0) std::memcpy(all.raw(), part.raw(), part.bytes());
  return std::make_unique<Done>();
}

}  // namespace reformer
