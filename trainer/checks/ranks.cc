#include <mutex>
#include <vector>

#include <fmt/format.h>

#include "comm/self.h"
#include "comm/threads.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checks/check.h"
#include "trainer/checks/check_model.h"
#include "trainer/checks/short_training.h"

namespace reformer {
namespace {

constexpr int kThreadRanks = 3;

/// CRC32C of the parameters after all steps of the run.
int64_t digest_after_training(const RunConfig& config, Communicator& communicator,
                              const BackendMaker& make_backend) {
  const std::unique_ptr<Backend> backend = make_backend();
  const Tensor parameters = train_shortly(config, communicator, *backend).parameters;
  return crc32c(parameters.view().raw(), parameters.view().bytes());
}

/// The digests of all ranks.
std::vector<int64_t> digests_of_ranks(const RunConfig& config, Communicator& communicator,
                                      const BackendMaker& make_backend) {
  return communicator.gather(digest_after_training(config, communicator, make_backend),
                             "digests of the check");
}

}  // namespace

CheckResult check_ranks(Communicator& communicator, const BackendMaker& make_backend) {
  RunConfig config = check_config();
  config.run.mutable_training()->set_micro_batch(1);
  SelfCommunicator alone;
  const int64_t expected = digest_after_training(config, alone, make_backend);
  std::vector<int64_t> digests;
  if (communicator.size() > 1) {
    digests = digests_of_ranks(config, communicator, make_backend);
  } else {
    run_as_threads(kThreadRanks, [&](Communicator& thread) {
      std::vector<int64_t> all = digests_of_ranks(config, thread, make_backend);
      if (thread.rank() == 0) digests = std::move(all);
    });
  }
  size_t different = 0;
  for (const int64_t digest : digests) different += digest != expected;
  return {
      .name = "ranks train to the bits of one",
      .holds = different == 0,
      .detail = fmt::format("{} {}, {} steps, parameters differ on {}, allowed 0", digests.size(),
                            communicator.size() > 1 ? "ranks" : "ranks as threads",
                            config.run.training().steps(), different)};
}

}  // namespace reformer
