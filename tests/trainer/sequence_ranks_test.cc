// Training on ranks that share sequences, here threads: on every layout the bits of one rank.
#include <fmt/format.h>

#include "comm/self.h"
#include "comm/threads.h"
#include "tests/trainer/step_testing.h"

namespace reformer {
namespace {

using testing::expect_same;
using testing::kSanitized;
using testing::Outcome;

constexpr int64_t kLength = 1000;  // eight leaves, the last one not full
constexpr int64_t kHeads = 8;

struct Layout {
  int data;
  int sequence;
  int heads;

  int ranks() const { return data * sequence; }
  int buckets() const { return sequence / heads; }
};

/// All ways in which 2, 3, 4 and 8 ranks can share the work; for sanitizers 4 ranks, whose ways are
/// of every kind.
std::vector<Layout> layouts() {
  std::vector<Layout> all;
  for (const int ranks : kSanitized ? std::vector{4} : std::vector{2, 3, 4, 8}) {
    for (int sequence = 1; sequence <= ranks; ++sequence) {
      for (int heads = 1; heads <= sequence; ++heads) {
        if (ranks % sequence == 0 && sequence % heads == 0) {
          all.push_back({ranks / sequence, sequence, heads});
        }
      }
    }
  }
  return all;
}

/// Heads that three ranks cannot share evenly, and a place for every position.
ModelSpec long_spec(ModelSpec spec) {
  spec.max_length = kLength;
  spec.position_axes = {
      {.extent = 2, .width = 2}, {.extent = 20, .width = 6}, {.extent = 25, .width = 16}};
  for (LayerSpec& layer : spec.layers) {
    layer.attention.heads = kHeads;
    layer.attention.head_dim = 4;
  }
  spec.dropout = 0.1f;
  spec.attention_dropout = 0.1f;
  return spec;
}

/// Every kind of layer.
ModelSpec mixed_spec() {
  return long_spec(testing::mixed_spec());
}

/// What the kinds of LSH layers can be set to, with activations kept.
ModelSpec options_spec() {
  ModelSpec spec = long_spec(testing::small_spec(
      {AttentionKind::kStrict, AttentionKind::kChunked, AttentionKind::kChunked}));
  for (LayerSpec& layer : spec.layers) layer.attention.correct_duplicates = true;
  spec.layers[1].attention.same_bucket_only = true;
  spec.layers[2].attention.causal = false;
  spec.layers[2].attention.rounds = 3;
  spec.store_activations = true;
  return spec;
}

config::Run long_run(int64_t batch) {
  config::Run run = testing::small_run(config::Optimizer::ADAMW, batch);
  run.mutable_data()->set_length(kLength);
  run.mutable_evaluation()->set_sequences(3);
  return run;
}

Outcome train_on(const Layout& layout, const config::Run& run, const ModelSpec& spec) {
  Outcome of_rank_0;
  run_as_threads(layout.ranks(), [&](Communicator& world) {
    const RankGroups ranks =
        split_by_mesh(world, make_mesh(world.rank(), world.size(), layout.sequence, layout.heads));
    Outcome outcome = testing::train(run, spec, ranks);
    if (world.rank() == 0) of_rank_0 = std::move(outcome);
  });
  return of_rank_0;
}

Outcome train_alone(const config::Run& run, const ModelSpec& spec) {
  SelfCommunicator alone;
  return testing::train(run, spec, data_parallel(alone));
}

class SequenceRanksTest : public ::testing::TestWithParam<Layout> {
 protected:
  static void SetUpTestSuite() {
    fmt::print("ranks  data  sequence  heads  buckets  tokens each\n");
  }

  void SetUp() override {
    const Layout& layout = GetParam();
    std::string tokens;
    for (const Slice& share : share_tokens(kLength, 128, layout.sequence)) {
      tokens += fmt::format(" {}", share.elements());
    }
    fmt::print("{:5}  {:4}  {:8}  {:5}  {:7} {}\n", layout.ranks(), layout.data, layout.sequence,
               layout.heads, layout.buckets(), tokens);
  }
};

TEST_P(SequenceRanksTest, GiveTheBitsOfOne) {
  config::Run run = long_run(/*batch=*/2);
  if (kSanitized) run.mutable_training()->set_steps(2);
  static const Outcome expected = train_alone(run, mixed_spec());
  expect_same(train_on(GetParam(), run, mixed_spec()), expected);
}

TEST_P(SequenceRanksTest, GiveTheBitsOfOneWithEveryOption) {
  config::Run run = long_run(/*batch=*/3);
  run.mutable_training()->set_steps(kSanitized ? 1 : 3);
  static const Outcome expected = train_alone(run, options_spec());
  run.mutable_training()->set_micro_batch(1);
  expect_same(train_on(GetParam(), run, options_spec()), expected);
}

INSTANTIATE_TEST_SUITE_P(Layouts, SequenceRanksTest, ::testing::ValuesIn(layouts()),
                         [](const auto& tested) {
                           const Layout& layout = tested.param;
                           return fmt::format("{}Data{}Heads{}Buckets", layout.data, layout.heads,
                                              layout.buckets());
                         });

}  // namespace
}  // namespace reformer
