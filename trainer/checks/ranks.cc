#include <utility>
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

constexpr int kThreadRanks = 4;

/// The ways in which the ranks can share the work on a model of two leaves and two heads.
std::vector<Mesh> layouts_for(const Communicator& ranks) {
  std::vector<Mesh> layouts{make_mesh(ranks.rank(), ranks.size(), 1, 1)};
  if (ranks.size() % 2 != 0) return layouts;
  for (const int heads : {2, 1}) {
    layouts.push_back(make_mesh(ranks.rank(), ranks.size(), /*sequence_size=*/2, heads));
  }
  return layouts;
}

/// CRC32C of the parameters after all steps of the run.
int64_t digest_after_training(const RunConfig& config, const RankGroups& ranks,
                              const BackendMaker& make_backend) {
  const std::unique_ptr<Backend> backend = make_backend();
  const Tensor parameters = train_shortly(config, ranks, *backend).parameters;
  return crc32c(parameters.view().raw(), parameters.view().bytes());
}

/// The digests of all ranks in all layouts.
std::vector<int64_t> digests_of_ranks(const RunConfig& config, Communicator& communicator,
                                      const BackendMaker& make_backend) {
  std::vector<int64_t> digests;
  for (const Mesh& mesh : layouts_for(communicator)) {
    const RankGroups ranks = split_by_mesh(communicator, mesh);
    const std::vector<int64_t> of_layout = communicator.gather(
        digest_after_training(config, ranks, make_backend), "digests of the check");
    digests.insert(digests.end(), of_layout.begin(), of_layout.end());
  }
  return digests;
}

}  // namespace

CheckResult check_ranks(Communicator& communicator, const BackendMaker& make_backend) {
  RunConfig config = check_config();
  config.run.mutable_training()->set_micro_batch(1);
  SelfCommunicator alone;
  const int64_t expected = digest_after_training(config, data_parallel(alone), make_backend);
  const bool as_threads = communicator.size() == 1;
  std::vector<int64_t> digests;
  if (as_threads) {
    run_as_threads(kThreadRanks, [&](Communicator& thread) {
      std::vector<int64_t> all = digests_of_ranks(config, thread, make_backend);
      if (thread.rank() == 0) digests = std::move(all);
    });
  } else {
    digests = digests_of_ranks(config, communicator, make_backend);
  }
  const size_t ranks = as_threads ? kThreadRanks : static_cast<size_t>(communicator.size());
  size_t different = 0;
  for (const int64_t digest : digests) different += digest != expected;
  return {.name = "ranks train to the bits of one",
          .holds = different == 0,
          .detail = fmt::format("{} {}, {} steps in {} layouts, parameters differ in {}, allowed 0",
                                ranks, as_threads ? "ranks as threads" : "ranks",
                                config.run.training().steps(), digests.size() / ranks, different)};
}

}  // namespace reformer
