// One hashed layer whose slots are shared among ranks, here threads: the bits of one rank.
#include "trainer/model/sequence/bucket_attention.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "comm/plan.h"
#include "comm/threads.h"
#include "comm/traffic.h"
#include "tests/trainer/model_testing.h"

namespace reformer {
namespace {

using testing::Random;
using testing::same_bits;
using testing::TestModel;

struct Case {
  std::string name;
  AttentionKind kind = AttentionKind::kStrict;
  bool causal = true;
  bool same_bucket_only = false;
  bool correct_duplicates = false;
  int64_t heads = 2;
  int64_t rounds = 2;
  int64_t samples = 1;
  int64_t length = 1100;
  std::vector<int64_t> buckets = {4, 2};
  float spread = 1;  // of the queries around one of them; 0: all are the same
  float dropout = 0;
  bool masked = false;
  std::vector<int> ranks = {2, 3, 4, 8};
};

std::vector<Case> cases() {
  using enum AttentionKind;
  return {
      {.name = "strict"},
      {.name = "strict, 1 round, 1 head, many ranks", .heads = 1, .rounds = 1},
      {.name = "strict, 4 rounds, corrected", .correct_duplicates = true, .rounds = 4},
      {.name = "strict, everything",
       .correct_duplicates = true,
       .rounds = 3,
       .samples = 2,
       .length = 613,
       .dropout = 0.2f,
       .masked = true},
      {.name = "strict, all in one bucket", .spread = 0},
      {.name = "strict, a bucket longer than a share", .spread = 0.5f, .ranks = {4, 8}},
      {.name = "strict, empty buckets", .buckets = {64, 32}},
      {.name = "strict, less than a block", .length = 37},
      {.name = "chunked", .kind = kChunked, .rounds = 1},
      {.name = "chunked, not causal, 4 rounds", .kind = kChunked, .causal = false, .rounds = 4},
      {.name = "chunked, own bucket",
       .kind = kChunked,
       .same_bucket_only = true,
       .rounds = 3,
       .dropout = 0.3f},
      {.name = "chunked, corrected",
       .kind = kChunked,
       .causal = false,
       .correct_duplicates = true,
       .rounds = 3,
       .length = 777,
       .masked = true},
      {.name = "chunked, everything",
       .kind = kChunked,
       .same_bucket_only = true,
       .correct_duplicates = true,
       .heads = 3,
       .samples = 2,
       .length = 555,
       .dropout = 0.2f,
       .masked = true},
      {.name = "chunked, all in one bucket", .kind = kChunked, .spread = 0},
      {.name = "chunked, less than a block", .kind = kChunked, .causal = false, .length = 37},
  };
}

ModelSpec spec_of(const Case& c) {
  ModelSpec spec = testing::small_spec({c.kind});
  spec.attention_dropout = c.dropout;
  spec.leaf_tokens = 4;
  spec.tile_tokens = 4;
  LayerSpec& layer = spec.layers[0];
  layer.buckets = c.buckets;
  layer.attention.causal = c.causal;
  layer.attention.same_bucket_only = c.same_bucket_only;
  layer.attention.correct_duplicates = c.correct_duplicates;
  layer.attention.heads = c.heads;
  layer.attention.rounds = c.rounds;
  return spec;
}

/// Of the whole sequences, or of the tokens of one rank.
struct Tensors {
  Tensors(int64_t samples, int64_t length, const AttentionPattern& pattern)
      : query(DType::kFloat32, {samples * length, pattern.heads * pattern.head_dim}),
        value(DType::kFloat32, query.shape()),
        dout(DType::kFloat32, query.shape()),
        mask(DType::kUint8, {samples, length}),
        out(DType::kFloat32, query.shape()),
        lse(DType::kFloat32, {samples, pattern.heads, length}),
        dquery(DType::kFloat32, query.shape()),
        dvalue(DType::kFloat32, query.shape()) {}

  Tensor query;
  Tensor value;
  Tensor dout;
  Tensor mask;
  Tensor out;
  Tensor lse;
  Tensor dquery;
  Tensor dvalue;
};

/// Tokens [begin, end) of each of `lists` lists of `length` tokens.
void copy_tokens(const Tensor& whole, int64_t lists, int64_t length, const Slice& tokens,
                 const Tensor& part) {
  const int64_t count = tokens.elements();
  const int64_t width = whole.elements() / (lists * length);
  const View from = whole.view().reshape({lists * length, width});
  const View to = part.view().reshape({lists * count, width});
  for (int64_t list = 0; list < lists; ++list) {
    const View rows = from.rows(list * length + tokens.begin, list * length + tokens.end);
    std::memcpy(to.rows(list * count, (list + 1) * count).raw(), rows.raw(), rows.bytes());
  }
}

Tensors make_inputs(const Case& c, const AttentionPattern& pattern) {
  Tensors whole(c.samples, c.length, pattern);
  Random random(5);
  whole.query = random.normal(whole.query.shape());
  whole.value = random.normal(whole.value.shape());
  whole.dout = random.normal(whole.dout.shape());
  const int64_t width = whole.query.shape()[1];
  const Tensor center = random.normal({width});
  float* const query = whole.query.data<float>();
  for (int64_t i = 0; c.spread < 1 && i < whole.query.elements(); ++i) {
    query[i] = center.data<float>()[i % width] + c.spread * query[i];
  }
  for (int64_t i = 0; i < whole.mask.elements(); ++i) {
    whole.mask.data<uint8_t>()[i] = random.chance(0.8);
  }
  return whole;
}

Pass pass_of(const TestModel& model, const Case& c, const Slice& tokens) {
  Pass pass = model.pass(c.samples, tokens.elements());
  pass.layout.first_position = tokens.begin;
  pass.layout.tile = model.spec.tile_tokens;
  return pass;
}

void attend_alone(const Case& c, const ModelSpec& spec, Tensors& whole) {
  const AttentionPattern& pattern = spec.layers[0].attention;
  TestModel model(spec);
  const Pass pass = pass_of(model, c, {0, c.length});
  const int64_t buckets = bucket_count(c.buckets);
  const Tensor bucket_of(DType::kInt32, {c.samples, c.heads, c.rounds, c.length});
  const Tensor order(DType::kInt32, bucket_of.shape());
  const Tensor bucket_begin(DType::kInt32, {c.samples, c.heads, c.rounds, buckets + 2});
  const View mask = c.masked ? whole.mask.view() : View();
  model.backend->lsh_hash({.layout = pass.layout,
                           .heads = c.heads,
                           .rounds = c.rounds,
                           .buckets = c.buckets,
                           .query_key = whole.query.view(),
                           .rotations = model.rotations[0].view(),
                           .mask = mask,
                           .bucket_of = bucket_of.view()});
  model.backend->bucket_sort({.num_buckets = buckets,
                              .bucket_of = bucket_of.view(),
                              .order = order.view(),
                              .bucket_begin = bucket_begin.view()});
  const AttentionArgs args{.layout = pass.layout,
                           .pattern = pattern,
                           .dropout = pass.dropout(0, DropoutSite::kAttentionWeights),
                           .query = whole.query.view(),
                           .key = {},
                           .value = whole.value.view(),
                           .order = order.view(),
                           .bucket_begin = bucket_begin.view(),
                           .mask = mask,
                           .out = whole.out.view(),
                           .lse = whole.lse.view()};
  model.backend->attention(args);
  model.backend->attention_backward({.forward = args,
                                     .dout = whole.dout.view(),
                                     .dquery = whole.dquery.view(),
                                     .dkey = {},
                                     .dvalue = whole.dvalue.view()});
}

class Rank {
 public:
  Rank(const Case& c, const ModelSpec& spec, const Tensors& whole, Communicator& ranks)
      : model_(spec),
        own_(share_tokens(c.length, spec.leaf_tokens,
                          ranks.size())[static_cast<size_t>(ranks.rank())]),
        part(c.samples, own_.elements(), spec.layers[0].attention),
        pass(pass_of(model_, c, own_)),
        share{.ranks = ranks,
              .length = c.length,
              .layout = pass.layout,
              .heads = {{0, c.heads}},
              .mask = c.masked ? part.mask.view() : View()} {
    for (const auto& [from, to] :
         {std::pair(&whole.query, &part.query), std::pair(&whole.value, &part.value),
          std::pair(&whole.dout, &part.dout), std::pair(&whole.mask, &part.mask)}) {
      copy_tokens(*from, c.samples, c.length, own_, *to);
    }
  }

  AttentionActivations activations() const {
    return {.normed = {},
            .query = part.query.view(),
            .key = {},
            .value = part.value.view(),
            .out = part.out.view(),
            .lse = part.lse.view()};
  }
  AttentionGradients gradients() const {
    return {.dout = part.dout.view(),
            .dquery = part.dquery.view(),
            .dkey = {},
            .dvalue = part.dvalue.view()};
  }

  void expect_results(const Tensors& whole) const {
    const int64_t samples = share.layout.samples;
    expect_tokens(whole.out, samples, part.out, "out");
    expect_tokens(whole.lse, samples * whole.lse.shape()[1], part.lse, "lse");
  }
  void expect_gradients(const Tensors& whole) const {
    expect_tokens(whole.dquery, share.layout.samples, part.dquery, "dquery");
    expect_tokens(whole.dvalue, share.layout.samples, part.dvalue, "dvalue");
  }

 private:
  void expect_tokens(const Tensor& whole, int64_t lists, const Tensor& actual,
                     const char* what) const {
    const Tensor expected(actual.view().dtype(), actual.shape());
    copy_tokens(whole, lists, share.length, own_, expected);
    EXPECT_TRUE(same_bits(actual.view(), expected.view())) << what;
  }

  TestModel model_;
  Slice own_;

 public:
  Tensors part;
  Pass pass;
  BucketShare share;
};

class BucketAttentionTest : public ::testing::TestWithParam<Case> {};

TEST_P(BucketAttentionTest, AnyNumberOfRanksGivesTheBitsOfOne) {
  const Case& c = GetParam();
  const ModelSpec spec = spec_of(c);
  Tensors whole = make_inputs(c, spec.layers[0].attention);
  attend_alone(c, spec, whole);
  for (const int ranks : c.ranks) {
    SCOPED_TRACE(ranks);
    run_as_threads(ranks, [&](Communicator& communicator) {
      Rank rank(c, spec, whole, communicator);
      Slots slots;
      {
        BucketAttention forward(rank.pass, 0, rank.share);
        slots = forward.allocate_slots();
        const Arena::Mark mark(rank.pass.arena);
        forward.hash_and_number(rank.part.query.view(), slots);
        forward.attend(rank.activations(), slots);
        rank.expect_results(whole);
      }
      {  // as where activations are stored
        const Arena::Mark mark(rank.pass.arena);
        BucketAttention(rank.pass, 0, rank.share)
            .backward(rank.activations(), slots, rank.gradients());
        rank.expect_gradients(whole);
      }
      {  // and where they are reconstructed
        std::memset(rank.part.out.view().raw(), 0, rank.part.out.view().bytes());
        std::memset(rank.part.dquery.view().raw(), 0, rank.part.dquery.view().bytes());
        const Arena::Mark mark(rank.pass.arena);
        BucketAttention again(rank.pass, 0, rank.share);
        again.attend(rank.activations(), slots);
        rank.expect_results(whole);
        again.backward(rank.activations(), slots, rank.gradients());
        rank.expect_gradients(whole);
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, BucketAttentionTest, ::testing::ValuesIn(cases()),
                         [](const auto& c) {
                           std::string name = c.param.name;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](unsigned char letter) { return !std::isalnum(letter); }, '_');
                           return name;
                         });

/// A step as where activations are reconstructed. Returns the most memory in use at a time.
size_t run_step(const Rank& rank, const Pass& pass, const BucketShare& share) {
  BucketAttention forward(pass, 0, share);
  const Slots slots = forward.allocate_slots();
  {
    const Arena::Mark mark(pass.arena);
    forward.hash_and_number(rank.part.query.view(), slots);
    forward.attend(rank.activations(), slots);
  }
  const Arena::Mark mark(pass.arena);
  BucketAttention again(pass, 0, share);
  again.attend(rank.activations(), slots);
  again.backward(rank.activations(), slots, rank.gradients());
  return pass.arena.peak();
}

struct Cost {
  size_t memory = 0;
  Traffic::ByPurpose sent;

  int64_t bytes() const {
    int64_t sum = 0;
    for (const auto& [purpose, part] : sent) sum += part.bytes;
    return sum;
  }
};

Cost measure_step(const Rank& rank, const Pass& pass, BucketShare share, Communicator& ranks) {
  const auto traffic = std::make_shared<Traffic>();
  ranks.set_observer(traffic);
  const size_t memory = run_step(rank, pass, share);
  ranks.set_observer(nullptr);
  return {.memory = memory, .sent = traffic->by_purpose()};
}

Cost plan_step(const Rank& rank, const ModelSpec& spec) {
  const std::unique_ptr<Backend> backend = rank.pass.backend.make_planner();
  const std::unique_ptr<Arena> arena = backend->make_arena(size_t{1} << 40);
  const Pass pass{.backend = *backend,
                  .arena = *arena,
                  .spec = spec,
                  .layout = rank.pass.layout,
                  .mask = {},
                  .rotations = rank.pass.rotations,
                  .seed = rank.pass.seed,
                  .step = rank.pass.step,
                  .training = true,
                  .faults = {}};
  PlanCommunicator ranks(rank.share.ranks.rank(), rank.share.ranks.size());
  const BucketShare share{.ranks = ranks,
                          .length = rank.share.length,
                          .layout = rank.share.layout,
                          .heads = rank.share.heads,
                          .mask = {}};
  return measure_step(rank, pass, share, ranks);
}

// Random queries fill the buckets evenly, as plans have it.
TEST(BucketAttentionCostTest, TokensAreSentOnceToEachRankAndPlansKnowIt) {
  constexpr int kRanks = 4;
  const Case c{.name = "cost", .heads = 2, .rounds = 4, .length = 4096, .buckets = {64}};
  ModelSpec spec = spec_of(c);
  spec.layers[0].attention.head_dim = 64;
  const Tensors whole = make_inputs(c, spec.layers[0].attention);
  std::vector<Cost> measured(kRanks);
  std::vector<Cost> planned(kRanks);
  run_as_threads(kRanks, [&](Communicator& communicator) {
    const Rank rank(c, spec, whole, communicator);
    const auto index = static_cast<size_t>(communicator.rank());
    measured[index] = measure_step(rank, rank.pass, rank.share, communicator);
    planned[index] = plan_step(rank, spec);
  });

  // Bytes of one activation that go to another rank: U of all ranks together.
  const double unit = static_cast<double>(whole.query.view().bytes()) * (kRanks - 1) / kRanks;
  const double of_rounds = unit * static_cast<double>(c.rounds);
  std::map<std::string, double> sent;
  double bytes = 0;
  for (size_t rank = 0; rank < kRanks; ++rank) {
    for (const auto& [purpose, sum] : measured[rank].sent) {
      sent[purpose] += static_cast<double>(sum.bytes);
    }
    bytes += static_cast<double>(measured[rank].bytes());
    EXPECT_EQ(planned[rank].memory, measured[rank].memory);
    EXPECT_NEAR(static_cast<double>(planned[rank].bytes()),
                static_cast<double>(measured[rank].bytes()), 0.05 * 9 / kRanks * of_rounds);
  }
  for (const auto& [purpose, sum] : sent) {
    fmt::print("{:20} {:.3f} R U\n", purpose, sum / of_rounds);
  }
  fmt::print("{:20} {:.3f} R U\n", "all", bytes / of_rounds);

  // With four rounds on four ranks a token is on 1 − (3/4)⁴ of all ranks, which is 68% of four
  // times one rank; the chunks around the own slots are 1/32 of them.
  const double once = (1 - std::pow(0.75, 4)) * kRanks / 4;
  // Twice its position and its slots, and once lse and dout·out, go with it.
  const double beside = static_cast<double>(2 * (1 + c.rounds) + 2) / 64;
  EXPECT_NEAR(sent["attention slots in"], (5 + beside) * once * of_rounds, 0.05 * 5 * of_rounds);
  EXPECT_NEAR(sent["attention slots out"], 4 * of_rounds, 0.05 * 4 * of_rounds);
  EXPECT_LT(bytes, 8 * of_rounds);
}

}  // namespace
}  // namespace reformer
