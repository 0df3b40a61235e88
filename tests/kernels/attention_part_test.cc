// Attention in parts: all bits of the whole, for any division into parts, and nothing is read that
// a part does not need.
#include <string>

#include "tests/kernels/attention_parts_testing.h"

namespace reformer {
namespace {

using testing::AttentionCase;
using testing::AttentionProblem;

constexpr AttentionKind kStrict = AttentionKind::kStrict;
constexpr AttentionKind kChunked = AttentionKind::kChunked;
constexpr AttentionKind kLocal = AttentionKind::kLocal;
constexpr AttentionKind kFull = AttentionKind::kFull;

/// Where parts begin: one part; two of about equal size; large, small and empty ones; and, of a
/// short sequence, every block, with an empty part in front of the last.
std::vector<std::vector<int64_t>> divisions_of(int64_t length) {
  const int64_t block = testing::make_backend_under_test()->slot_block();
  const auto cut = [&](int64_t slot) { return slot / block * block; };
  const int64_t last = cut(length - 1);
  const int64_t third = cut(length / 3);
  std::vector<std::vector<int64_t>> divisions = {
      {0},
      {0, cut(length / 2)},
      {0, third, third, std::min(third + block, last), std::min(third + 5 * block, last), last}};
  if (length <= 12 * block) {
    divisions.emplace_back();
    for (int64_t slot = 0; slot < length; slot += block) divisions.back().push_back(slot);
    divisions.back().push_back(last);
  }
  // An interpreted device has the time for the one that differs most from the whole.
  if (testing::is_device_under_test()) return {divisions.back()};
  return divisions;
}

void expect_equal_bits(const AttentionProblem& parts, const AttentionProblem& whole) {
  for (const auto& [name, result] : testing::attention_results()) {
    EXPECT_TRUE(testing::same_bits((parts.*result).view(), (whole.*result).view())) << name;
  }
}

class AttentionPartTest : public ::testing::TestWithParam<AttentionCase> {};

TEST_P(AttentionPartTest, PartsHaveTheBitsOfTheWhole) {
  const AttentionCase& config = GetParam();
  AttentionProblem whole(config);
  whole.run(1);
  int threads = 1;
  for (const std::vector<int64_t>& cuts : divisions_of(config.length)) {
    SCOPED_TRACE(std::to_string(cuts.size()) + " parts");
    AttentionProblem parts(config);
    testing::run_in_parts(config, parts, cuts, threads++);
    expect_equal_bits(parts, whole);
  }
}

/// Every kind, causal or not, with every option; widths of heads for any code and for tensor cores.
/// Interpreted devices have the time for one kind in four rounds.
std::vector<AttentionCase> option_cases() {
  std::vector<AttentionCase> cases;
  for (const AttentionKind kind : {kStrict, kChunked, kLocal, kFull}) {
    for (const bool causal : {true, false}) {
      if (kind == kStrict && !causal) continue;
      for (const int64_t rounds : {1, 2, 3, 4}) {
        if (rounds > 1 && !is_hashed(kind)) continue;
        if (rounds > 3 && kind != kStrict && testing::is_device_under_test()) continue;
        for (const bool same_bucket : {false, true}) {
          if (same_bucket && kind != kChunked) continue;
          for (const int64_t head_dim : {5, 32}) {
            cases.push_back({.name = "options",
                             .pattern = {.kind = kind,
                                         .causal = causal,
                                         .heads = 2,
                                         .head_dim = head_dim,
                                         .rounds = rounds,
                                         .chunk_length = rounds == 3 ? 17 : 24,
                                         .same_bucket_only = same_bucket,
                                         .correct_duplicates = rounds >= 3},
                             .samples = rounds > 1 && testing::is_device_under_test() ? 1 : 2,
                             .length = rounds == 2 ? testing::length_under_test(203, 139) : 150,
                             .first_sample = 5,
                             .first_head = 3,
                             .masked = rounds % 2 == 1 ? 0.15 : 0,
                             .zero = rounds == 4 ? 0.1 : 0,
                             .dropout = rounds <= 2 ? 0.3f : 0});
          }
        }
      }
    }
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Options, AttentionPartTest, ::testing::ValuesIn(option_cases()));

/// Rings of few chunks, chunks longer than the sequence, one bucket, lone tokens, long queries, and
/// more slots than a task has.
std::vector<AttentionCase> edge_cases() {
  std::vector<AttentionCase> cases;
  for (const AttentionKind kind : {kStrict, kChunked, kLocal, kFull}) {
    const bool hashed = is_hashed(kind);
    for (const int64_t length : {1, 5, 9, 130}) {
      cases.push_back({.name = "few chunks",
                       .pattern = {.kind = kind,
                                   .causal = kind == kStrict,
                                   .head_dim = 4,
                                   .rounds = hashed && length != 9 ? 2 : 1,
                                   .chunk_length = length < 100 ? 5 : 64,
                                   .correct_duplicates = true},
                       .length = length,
                       .num_buckets = 2});
    }
    cases.push_back({.name = "chunk longer than the sequence",
                     .pattern = {.kind = kind,
                                 .causal = kind == kStrict,
                                 .head_dim = 32,
                                 .rounds = hashed ? 3 : 1,
                                 .chunk_length = 1000},
                     .length = 140,
                     .num_buckets = 1});
    cases.push_back({.name = "chunks of one",
                     .pattern = {.kind = kind, .head_dim = 3, .chunk_length = 1},
                     .length = 80,
                     .num_buckets = 2});
    for (const int64_t head_dim : {32, 128}) {
      cases.push_back({.name = "norms on both sides of the limit, rounds of different offsets",
                       .pattern = {.kind = kind,
                                   .heads = 2,
                                   .head_dim = head_dim,
                                   .rounds = hashed ? 3 : 1,
                                   .chunk_length = 30},
                       .length = testing::length_under_test(170, 130),
                       .num_buckets = 9,
                       .query_deviation = head_dim == 32 ? 5.5f : 12.0f,
                       .zero = 0.05,
                       .dropout = 0.2f});
    }
    cases.push_back({.name = "several segments and panels",
                     .pattern = {.kind = kind,
                                 .head_dim = 20,
                                 .rounds = hashed ? 2 : 1,
                                 .chunk_length = testing::length_under_test(600, 90)},
                     .length = testing::length_under_test(1100, 200),
                     .num_buckets = 1,
                     .query_deviation = 7});
  }
  cases.push_back({.name = "each alone",
                   .pattern = {.kind = kStrict, .head_dim = 32, .rounds = 3, .chunk_length = 4},
                   .length = 140,
                   .dropout = 0.5f,
                   .each_alone = true});
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Edges, AttentionPartTest, ::testing::ValuesIn(edge_cases()));

/// Some heads of a layer, as a rank has them that shares heads.
TEST(AttentionHeadsTest, HeadsHaveTheBitsThatTheyHaveAmongAll) {
  const AttentionCase config{
      .name = "heads",
      .pattern = {.kind = kStrict, .heads = 3, .head_dim = 32, .rounds = 2, .chunk_length = 20},
      .length = 100,
      .dropout = 0.3f};
  AttentionProblem all(config);
  all.run(1);
  constexpr int64_t kFirst = 1, kHeads = 2;
  const auto backend = testing::make_backend_under_test();
  const int64_t width = config.pattern.head_dim;
  const auto some_columns = [&](const Tensor& from) {
    Tensor to(DType::kFloat32, {config.length, kHeads * width});
    for (int64_t row = 0; row < config.length; ++row) {
      std::copy_n(from.data<float>() + (row * 3 + kFirst) * width, kHeads * width,
                  to.data<float>() + row * kHeads * width);
    }
    return to;
  };
  const auto some_lists = [&](const Tensor& from) {
    const Shape& shape = from.shape();
    return from.view()
        .reshape({3, shape[2], shape[3]})
        .rows(kFirst, kFirst + kHeads)
        .reshape({1, kHeads, shape[2], shape[3]});
  };
  AttentionArgs args = all.args();
  const Tensor query = some_columns(all.query), value = some_columns(all.value);
  const Tensor out(DType::kFloat32, query.shape());
  const Tensor lse(DType::kFloat32, {1, kHeads, config.length});
  args.pattern.heads = kHeads;
  args.first_head = kFirst;
  args.query = query.view();
  args.value = value.view();
  args.order = some_lists(all.order);
  args.bucket_begin = some_lists(all.bucket_begin);
  args.out = out.view();
  args.lse = lse.view();
  backend->attention(args);
  EXPECT_TRUE(testing::same_bits(out.view(), some_columns(all.out).view()));

  const Tensor dout = some_columns(all.dout);
  const Tensor dquery(DType::kFloat32, query.shape()), dvalue(DType::kFloat32, query.shape());
  backend->attention_backward({.forward = args,
                               .dout = dout.view(),
                               .dquery = dquery.view(),
                               .dkey = {},
                               .dvalue = dvalue.view()});
  EXPECT_TRUE(testing::same_bits(dquery.view(), some_columns(all.dquery).view()));
  EXPECT_TRUE(testing::same_bits(dvalue.view(), some_columns(all.dvalue).view()));
}

// ---- the small ops ----------------------------------------------------------------------------

TEST(HeadProductsTest, EqualPlainSums) {
  const auto backend = testing::make_backend_under_test(2);
  for (const int64_t head_dim : {1, 7, 32, 100}) {
    for (const int64_t rows : {0, 1, 300}) {
      constexpr int64_t kHeads = 3;
      testing::ActivationRandom random(3);
      const Tensor a = random.normal({rows, kHeads * head_dim});
      const Tensor b = random.normal({rows, kHeads * head_dim});
      const Tensor products(DType::kFloat32, {rows, kHeads});
      backend->head_products(
          {.heads = kHeads, .a = a.view(), .b = b.view(), .products = products.view()});
      testing::Doubles expected(static_cast<size_t>(products.elements()));
      for (int64_t i = 0; i < a.elements(); ++i) {
        expected[static_cast<size_t>(i / head_dim)] +=
            static_cast<double>(a.data<float>()[i]) * static_cast<double>(b.data<float>()[i]);
      }
      EXPECT_LT(testing::relative_error(testing::to_doubles(products), expected), 1e-6);
    }
  }
}

TEST(GatherRowsTest, CopiesRowsAndFillsInZeros) {
  const auto backend = testing::make_backend_under_test(2);
  for (const DType dtype : {DType::kFloat32, DType::kInt32, DType::kBFloat16, DType::kUint8}) {
    for (const int64_t width : {1, 2, 3, 64}) {
      testing::Random random(3);
      constexpr int64_t kRows = 50, kIndices = 700;
      const auto bytes = static_cast<int64_t>(size_of(dtype)) * width;
      const Tensor x(dtype, {kRows, width}), y(dtype, {kIndices, width});
      auto* const from = static_cast<uint8_t*>(x.view().raw());
      auto* const to = static_cast<uint8_t*>(y.view().raw());
      for (int64_t i = 0; i < kRows * bytes; ++i) {
        from[i] = static_cast<uint8_t>(random.integer(1, 100));
      }
      std::fill_n(to, kIndices * bytes, uint8_t{255});
      const Tensor index = random.integers({kIndices}, -2, kRows - 1);
      backend->gather_rows({.x = x.view(), .index = index.view(), .y = y.view()});
      for (int64_t i = 0; i < kIndices * bytes; ++i) {
        const int32_t row = index.data<int32_t>()[i / bytes];
        ASSERT_EQ(to[i], row < 0 ? 0 : from[row * bytes + i % bytes]) << i;
      }
    }
  }
}

TEST(GatherRowsTest, ReadsNothingForAbsentRows) {
  const auto backend = testing::make_backend_under_test();
  const Tensor x(DType::kFloat32, {0, 4}), y(DType::kFloat32, {2, 4});
  std::fill_n(y.data<float>(), 8, 1.0f);
  Tensor index(DType::kInt32, {2});
  std::fill_n(index.data<int32_t>(), 2, -1);
  backend->gather_rows({.x = x.view(), .index = index.view(), .y = y.view()});
  for (const double element : testing::to_doubles(y)) EXPECT_EQ(element, 0);
}

// ---- wrong arguments --------------------------------------------------------------------------

/// Both passes of one part of a sequence, whose arguments `change` has changed.
template <typename Change>
void run_changed(const Change& change) {
  const AttentionCase config{.name = "wrong",
                             .pattern = {.kind = kStrict,
                                         .heads = 2,
                                         .head_dim = 4,
                                         .rounds = 2,
                                         .chunk_length = 8,
                                         .correct_duplicates = true},
                             .length = 40};
  const AttentionProblem problem(config);
  testing::Random random(1);
  testing::AttentionPart part(config, problem, 0, {0, 40}, random);
  const Shape results{part.results(), 4};
  const Tensor sums(DType::kFloat32, results), values(DType::kFloat32, results);
  const Tensor weights(DType::kFloat32, {part.results(), kRoundWeights});
  const Tensor delta(DType::kFloat32, {40, 2});
  AttentionPartBackwardArgs args =
      part.backward_args(problem.lse, delta, sums.view(), {}, values.view(), 0);
  args.forward = part.args(sums.view(), weights.view(), 0);
  change(args);
  const auto backend = testing::make_backend_under_test();
  backend->attention_part(args.forward);
  backend->attention_part_backward(args);
}

TEST(AttentionPartDeathTest, WrongArgumentsDie) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  using Args = AttentionPartBackwardArgs;
  run_changed([](Args&) {});
  const Tensor fewer(DType::kInt32, {2, 2, 39});
  EXPECT_DEATH(run_changed([&](Args& args) { args.forward.row = fewer.view(); }), "CHECK");
  EXPECT_DEATH(run_changed([](Args& args) { args.forward.own.end = 41; }), "CHECK");
  EXPECT_DEATH(run_changed([](Args& args) { args.forward.slot_in = {}; }), "CHECK");
  EXPECT_DEATH(run_changed([](Args& args) { args.forward.key = args.dout; }), "CHECK");
  EXPECT_DEATH(run_changed([](Args& args) { args.forward.position = {}; }), "CHECK");
  EXPECT_DEATH(run_changed([](Args& args) { args.forward.weights = args.dquery; }), "CHECK");
  EXPECT_DEATH(run_changed([](Args& args) { args.forward.pattern.heads = 3; }), "CHECK");
  EXPECT_DEATH(run_changed([](Args& args) { args.forward.first_head = 65535; }), "CHECK");
  EXPECT_DEATH(run_changed([](Args& args) { args.lse = {}; }), "CHECK");
  EXPECT_DEATH(run_changed([](Args& args) { args.dkey = args.dquery; }), "CHECK");
  EXPECT_DEATH(run_changed([](Args& args) { args.dvalue = args.delta; }), "CHECK");
}

TEST(AttentionPartDeathTest, WrongShapesOfSmallOpsDie) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto backend = testing::make_backend_under_test();
  const Tensor a(DType::kFloat32, {5, 6}), b(DType::kFloat32, {5, 5}), c(DType::kFloat32, {5, 2});
  const Tensor index(DType::kInt32, {5});
  EXPECT_DEATH(
      backend->head_products({.heads = 2, .a = a.view(), .b = b.view(), .products = c.view()}),
      "CHECK");
  EXPECT_DEATH(
      backend->head_products({.heads = 4, .a = a.view(), .b = a.view(), .products = c.view()}),
      "CHECK");
  EXPECT_DEATH(backend->gather_rows({.x = a.view(), .index = index.view(), .y = b.view()}),
               "CHECK");
  EXPECT_DEATH(backend->gather_rows({.x = a.view(), .index = a.view(), .y = a.view()}), "CHECK");
}

}  // namespace
}  // namespace reformer
