// Training on several ranks, here threads: the bits of one rank.
#include <algorithm>

#include "comm/self.h"
#include "comm/threads.h"
#include "kernels/core/errors.h"
#include "tests/trainer/step_testing.h"
#include "trainer/gradient_buckets.h"

namespace reformer {
namespace {

using testing::expect_same;
using testing::mixed_spec;
using testing::Outcome;
using testing::RankState;
using testing::same_bits;
using testing::small_run;

constexpr int64_t kBatch = 8;

Outcome train_alone(const config::Run& run, const ModelSpec& spec) {
  SelfCommunicator alone;
  return testing::train(run, spec, data_parallel(alone));
}

Outcome train_on_ranks(int ranks, const config::Run& run, const ModelSpec& spec) {
  Outcome of_rank_0;
  run_as_threads(ranks, [&](Communicator& communicator) {
    Outcome outcome = testing::train(run, spec, data_parallel(communicator));
    if (communicator.rank() == 0) of_rank_0 = std::move(outcome);
  });
  return of_rank_0;
}

class RanksTest : public ::testing::TestWithParam<config::Optimizer::Kind> {};

TEST_P(RanksTest, AnyNumberOfRanksGivesTheBitsOfOne) {
  const config::Run run = small_run(GetParam(), kBatch);
  const ModelSpec spec = mixed_spec();
  ASSERT_GE(make_buckets(spec, GetParam(), 1).size(), 3u);
  const std::vector<ParameterInfo> parameters = list_parameters(spec);
  ASSERT_TRUE(std::any_of(parameters.begin(), parameters.end(), [](const ParameterInfo& tensor) {
    return tensor.shape.elements() < 8;
  })) << "a tensor with fewer elements than ranks";

  const Outcome expected = train_alone(run, spec);
  for (const int ranks : {2, 3, 4, 8}) {
    SCOPED_TRACE(ranks);
    expect_same(train_on_ranks(ranks, run, spec), expected);
  }
}

TEST_P(RanksTest, MicroBatchesAndRanksWithoutASequenceChangeNothing) {
  config::Run run = small_run(GetParam(), /*batch=*/3);
  const ModelSpec spec = mixed_spec();
  const Outcome expected = train_alone(run, spec);
  run.mutable_training()->set_micro_batch(1);
  expect_same(train_on_ranks(2, run, spec), expected);
  expect_same(train_on_ranks(4, run, spec), expected);
}

TEST_P(RanksTest, TheSummedGradientIsThatOfOneRank) {
  const config::Run run = small_run(GetParam(), kBatch);
  const ModelSpec spec = mixed_spec();
  const std::unique_ptr<Dataset> dataset = make_dataset(run);
  const auto step = [&](Communicator& communicator, RankState& rank) {
    SkipGuard guard(run.training());
    train_step(run, *dataset, data_parallel(communicator), rank.state, guard, 1);
  };
  SelfCommunicator alone;
  RankState whole(run, spec, alone);
  step(alone, whole);

  std::vector<int64_t> owned(3);
  run_as_threads(3, [&](Communicator& communicator) {
    RankState rank(run, spec, communicator);
    step(communicator, rank);
    for (const Slice& slice : rank.state.own_slices()) {
      if (slice.elements() == 0) continue;
      EXPECT_TRUE(same_bits(slice.of(rank.state.gradients), slice.of(whole.state.gradients)));
      owned[static_cast<size_t>(communicator.rank())] += slice.elements();
    }
    // And everybody has all of the new parameters.
    EXPECT_TRUE(same_bits(rank.state.parameters, whole.state.parameters));
  });
  EXPECT_EQ(owned[0] + owned[1] + owned[2], flat_elements(spec));
}

INSTANTIATE_TEST_SUITE_P(Optimizers, RanksTest,
                         ::testing::Values(config::Optimizer::ADAMW, config::Optimizer::ADAFACTOR));

TEST(RanksTest, SumsInFloat32AgreeUpToRounding) {
  config::Run run = small_run(config::Optimizer::ADAMW, kBatch);
  run.mutable_training()->set_steps(3);
  ModelSpec spec = mixed_spec();
  spec.exact_sums = false;
  const Outcome expected = train_alone(run, spec);
  const Outcome outcome = train_on_ranks(3, run, spec);
  for (size_t step = 0; step < expected.norms.size(); ++step) {
    EXPECT_NEAR(outcome.norms[step], expected.norms[step], 1e-4 * expected.norms[step]);
    EXPECT_NEAR(outcome.losses[step], expected.losses[step], 1e-4);
  }
}

TEST(RanksTest, AFaultOnOneRankSkipsTheStepOnAll) {
  const config::Run run = small_run(config::Optimizer::ADAMW, kBatch);
  const ModelSpec spec = mixed_spec();
  const std::unique_ptr<Dataset> dataset = make_dataset(run);
  run_as_threads(3, [&](Communicator& communicator) {
    RankState rank(run, spec, communicator);
    // Only rank 1 computes with a parameter that overflows the residual stream.
    if (communicator.rank() == 1) rank.state.parameters.data<float>()[0] = 1e6f;
    const Tensor before = testing::copy_of(rank.state.parameters);
    SkipGuard guard(run.training());
    // Every token occurs in some sequence of rank 1.
    EXPECT_TRUE(
        train_step(run, *dataset, data_parallel(communicator), rank.state, guard, 1).skipped);
    EXPECT_NE(guard.reason().find("the embedding"), std::string::npos) << guard.reason();
    EXPECT_TRUE(same_bits(rank.state.parameters, before.view()));
  });
}

TEST(RanksTest, ARankThatFailsInTheMiddleOfAStepEndsTheOthers) {
  const config::Run run = small_run(config::Optimizer::ADAMW, kBatch);
  const ModelSpec spec = mixed_spec();
  class Failing final : public Dataset {
   public:
    Failing() : Dataset(testing::kRunLength) {}
    int64_t validation_sequences() const override { return 0; }
    std::string description() const override { return "failing"; }

   private:
    void fill_training(int64_t step, int64_t sample, const DataRange&,
                       const TokenRow& row) const override {
      if (step == 2 && sample >= 4) throw DataError("the file is gone");
      std::fill(row.tokens.begin(), row.tokens.end(), 1);
      std::fill(row.labels.begin(), row.labels.end(), 1);
    }
    void fill_validation(int64_t, const DataRange&, const TokenRow&) const override {}
  };
  const Failing dataset;
  EXPECT_THROW(run_as_threads(2,
                              [&](Communicator& communicator) {
                                RankState rank(run, spec, communicator);
                                SkipGuard guard(run.training());
                                for (const int64_t step : {1, 2}) {
                                  train_step(run, dataset, data_parallel(communicator), rank.state,
                                             guard, step);
                                }
                              }),
               DataError);
}

}  // namespace
}  // namespace reformer
