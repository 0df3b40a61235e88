// What ranks that share sequences, here threads, send each other, and when.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "comm/traffic.h"
#include "tests/trainer/sequence_testing.h"

namespace reformer {
namespace {

using testing::SequenceProblem;

constexpr AttentionKind kStrict = AttentionKind::kStrict;
constexpr AttentionKind kLocal = AttentionKind::kLocal;
constexpr AttentionKind kFull = AttentionKind::kFull;

constexpr int64_t kSamples = 2;   // of a SequenceProblem
constexpr int64_t kLength = 150;  // five leaves, the last one not full

ModelSpec spec_of(const std::vector<AttentionKind>& kinds) {
  ModelSpec spec = testing::small_spec(kinds);
  spec.tile_tokens = 16;
  spec.leaf_tokens = 32;
  for (LayerSpec& layer : spec.layers) layer.attention.heads = 5;
  return spec;
}

/// What each rank sends in one step, by purpose.
std::vector<Traffic::ByPurpose> traffic_of(const ModelSpec& spec, int64_t length, int ranks) {
  const SequenceProblem problem(spec, length);
  std::vector<Traffic::ByPurpose> traffic(static_cast<size_t>(ranks));
  run_as_threads(ranks, [&](Communicator& world) {
    const auto observer = std::make_shared<Traffic>();
    world.set_observer(observer);
    const RankGroups groups = split_by_mesh(world, make_mesh(world.rank(), ranks, ranks, ranks));
    const SequenceGroup sequence(groups, problem.length(), problem.leaf());
    problem.run_rank(world, &sequence, /*training=*/true);
    traffic[static_cast<size_t>(world.rank())] = observer->by_purpose();
  });
  return traffic;
}

TEST(SequenceTrafficTest, SharedHeadsSendNineTimesTheirShareOfAnActivation) {
  constexpr int64_t kTokens = 128;
  ModelSpec spec = spec_of({kStrict, kFull});
  for (LayerSpec& layer : spec.layers) layer.attention.heads = 4;
  for (const bool stored : {false, true}) {
    spec.store_activations = stored;
    for (const int ranks : {2, 4}) {
      const int64_t own_activation = kSamples * kTokens / ranks * 4 * 8 * 4;  // H·D floats
      const int64_t unit = own_activation / ranks * (ranks - 1);
      for (const Traffic::ByPurpose& traffic : traffic_of(spec, kTokens, ranks)) {
        // Stored outputs need not come back once more.
        EXPECT_EQ(traffic.at("attention heads in").bytes, 2 * 5 * unit) << ranks;
        EXPECT_EQ(traffic.at("attention heads out").bytes, 2 * (stored ? 3 : 4) * unit) << ranks;
      }
    }
  }
}

TEST(SequenceTrafficTest, UnevenSharesSendWhatOthersNeed) {
  constexpr int kRanks = 3;
  const std::vector<Traffic::ByPurpose> traffic = traffic_of(spec_of({kStrict}), kLength, kRanks);
  const std::vector<Slice> tokens = share_tokens(kLength, 32, kRanks);
  for (int rank = 0; rank < kRanks; ++rank) {
    SCOPED_TRACE(rank);
    const auto index = static_cast<size_t>(rank);
    const int64_t own_tokens = tokens[index].elements();
    const int64_t own_heads = share_of(5, rank, kRanks).elements();
    const int64_t in = kSamples * own_tokens * (5 - own_heads) * 8 * 4;
    const int64_t out = kSamples * (kLength - own_tokens) * own_heads * 8 * 4;
    EXPECT_EQ(traffic[index].at("attention heads in").bytes, 5 * in);
    EXPECT_EQ(traffic[index].at("attention heads out").bytes, 4 * out);
  }
}

TEST(SequenceTrafficTest, LocalLayersSendOneChunkToEachNeighbour) {
  constexpr int kRanks = 4;
  const std::vector<Traffic::ByPurpose> traffic = traffic_of(spec_of({kLocal}), 128, kRanks);
  const int64_t row = kSamples * 16 * 5 * 4;  // one float for each head of a chunk
  for (int rank = 0; rank < kRanks; ++rank) {
    const Traffic::ByPurpose& sent = traffic[static_cast<size_t>(rank)];
    // Keys and values, in the forward pass and when it is repeated.
    const int64_t to_next = rank + 1 < kRanks ? 2 * 2 * 8 * row : 0;
    // Queries and gradients, their products and lse.
    const int64_t to_last = rank > 0 ? (2 * 8 + 2) * row : 0;
    EXPECT_EQ(sent.at("attention halo").bytes, to_next + to_last);
  }
}

/// Writes "s" for the start of an exchange, "S" where heads leave, "w" for the wait.
class Timeline final : public OperationObserver {
 public:
  void started(const Communicator&, const Operation& operation, uint64_t id) override {
    if (operation.kind != OperationKind::kAllToAll) return;
    ids_.push_back(id);
    events += operation.tag.ends_with("out") ? "S" : "s";
  }
  void waited(uint64_t id) override {
    if (std::find(ids_.begin(), ids_.end(), id) != ids_.end()) events += "w";
  }

  std::string events;

 private:
  std::vector<uint64_t> ids_;
};

// Queries and values of both pieces are on their way before the first is attended to, and its heads
// leave before the second is waited for.
TEST(SequenceTrafficTest, OnePieceOfTheHeadsTravelsWhileAnotherIsAttendedTo) {
  const SequenceProblem problem(spec_of({kStrict}), kLength);
  run_as_threads(2, [&](Communicator& world) {
    const auto timeline = std::make_shared<Timeline>();
    const RankGroups groups = split_by_mesh(world, make_mesh(world.rank(), 2, 2, 2));
    groups.sequence->set_observer(timeline);
    const SequenceGroup sequence(groups, problem.length(), problem.leaf());
    problem.run_rank(world, &sequence, /*training=*/false);
    std::string expected;
    for (int64_t sample = 0; sample < kSamples; ++sample)
      expected +=
          "ssssww"
          "Sww"
          "Sww";
    EXPECT_EQ(timeline->events, expected);
  });
}

}  // namespace
}  // namespace reformer
