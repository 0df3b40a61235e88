// Linked in place of the NCCL communicator in builds without NCCL.
#include "comm/nccl.h"
#include "kernels/core/errors.h"

namespace reformer {
namespace {

[[noreturn]] void refuse() {
  throw DeviceError(
      "[nccl] this program was built without NCCL, which several ranks with GPUs need; install it "
      "beside CUDA and build again");
}

}  // namespace

std::string nccl_library_version() {
  refuse();
}

int choose_device(MpiWorld&) {
  refuse();
}

std::unique_ptr<Communicator> make_nccl_communicator(MpiWorld&, void*, const CommunicatorSetup&) {
  refuse();
}

}  // namespace reformer
