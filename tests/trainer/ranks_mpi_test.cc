// Training under a real mpirun: the bits of one rank, which rank 0 trains beside it.
#include "comm/mpi.h"
#include "comm/self.h"
#include "tests/trainer/step_testing.h"

namespace reformer {
namespace {

MpiWorld* world = nullptr;  // of this process, set by main

class RanksMpiTest : public ::testing::TestWithParam<config::Optimizer::Kind> {};

TEST_P(RanksMpiTest, AnyNumberOfRanksGivesTheBitsOfOne) {
  const config::Run run = testing::small_run(GetParam(), /*batch=*/8);
  const ModelSpec spec = testing::mixed_spec();
  const testing::Outcome outcome = testing::train(run, spec, data_parallel(world->ranks()));
  if (world->ranks().rank() == 0) {
    SelfCommunicator alone;
    testing::expect_same(outcome, testing::train(run, spec, data_parallel(alone)));
  }
  world->ranks().barrier("compared");
}

INSTANTIATE_TEST_SUITE_P(Optimizers, RanksMpiTest,
                         ::testing::Values(config::Optimizer::ADAMW, config::Optimizer::ADAFACTOR));

}  // namespace
}  // namespace reformer

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  // Small enough that every bucket takes several pieces.
  reformer::MpiWorld world({.timeout = std::chrono::minutes(2)}, /*piece_bytes=*/4096);
  reformer::world = &world;
  return RUN_ALL_TESTS();
}
