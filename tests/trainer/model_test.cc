// The model as a whole: gradients against finite differences, and the equalities of bits that the
// design promises.
#include <gtest/gtest.h>

#include "tests/kernels/row_testing.h"
#include "tests/trainer/model_testing.h"
#include "trainer/checks/finite_differences.h"
#include "trainer/model/reversible_stack.h"

namespace reformer {
namespace {

using testing::Doubles;
using testing::Random;
using testing::same_bits;
using testing::small_spec;
using testing::TestBatch;
using testing::TestModel;
using testing::to_doubles;

constexpr AttentionKind kStrict = AttentionKind::kStrict;
constexpr AttentionKind kChunked = AttentionKind::kChunked;
constexpr AttentionKind kLocal = AttentionKind::kLocal;
constexpr AttentionKind kFull = AttentionKind::kFull;

// No multiple of tile (128) or chunk (16).
constexpr int64_t kLength = 150;

ModelSpec mixed_spec() {
  ModelSpec spec = small_spec({kLocal, kStrict, kFull, kChunked});
  spec.dropout = 0.1f;
  spec.attention_dropout = 0.1f;
  return spec;
}

/// Compares the gradient of every parameter tensor that `includes` accepts with a central
/// difference of the loss along a random direction.
void expect_gradients(ModelSpec spec, const std::function<bool(const std::string&)>& includes) {
  constexpr double kTolerance = 0.02;
  spec.stream_dtype = DType::kFloat32;
  TestModel model(spec);
  const TestBatch batch(spec, 2, kLength, 1);
  model.accumulate(batch, 0, 2, kLength);
  EXPECT_EQ(model.fault_count(), 0);
  uint64_t seed = 0;
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    if (!includes(parameter.name)) continue;
    const Doubles gradient = to_doubles(parameter.in(model.gradients.view()));
    ASSERT_NE(gradient, Doubles(gradient.size())) << parameter.name << " has no gradient";
    const double ratio = slope_ratio(parameter.in(model.parameters.view()), gradient, ++seed,
                                     [&] { return model.evaluate(batch, 2, kLength); });
    EXPECT_NEAR(ratio, 1.0, kTolerance) << parameter.name;
  }
}

TEST(ModelTest, GradientsOfEveryParameterMatchFiniteDifferences) {
  expect_gradients(small_spec({kLocal, kFull}), [](const std::string&) { return true; });
}

// What comes before a hash may move tokens to other buckets, where the loss jumps; so only
// parameters behind the one hash are compared here. The attention tests cover the shared query-key
// itself.
TEST(ModelTest, GradientsBehindTheHashMatchFiniteDifferences) {
  for (AttentionKind kind : {kStrict, kChunked}) {
    expect_gradients(small_spec({kind}), [](const std::string& name) {
      return name.find("embedding") == std::string::npos &&
             name.find("attention.norm") == std::string::npos &&
             name.find("query_key") == std::string::npos;
    });
  }
}

TEST(ModelTest, BackwardRebuildsTheBitsOfTheForwardPass) {
  const ModelSpec spec = mixed_spec();
  const TestModel model(spec, 2);
  const Pass pass = model.pass(3, kLength);
  const ModelTensors weights = bind_parameters(spec, model.parameters.view());
  const ModelTensors gradients = bind_parameters(spec, model.gradients.view());
  Random random(4);
  const Shape shape{3 * kLength, spec.width};
  const auto random_stream = [&] {
    return testing::to_stream(random.normal(shape, 2.0f), DType::kFixed32);
  };
  const Tensor x1 = random_stream();
  const Tensor x2 = random_stream();
  const Tensor x1_before = testing::copy_of(x1);
  const Tensor x2_before = testing::copy_of(x2);
  const Tensor dx1 = random.normal(shape, 1e-3f);
  const Tensor dx2 = random.normal(shape, 1e-3f);

  ReversibleStack stack(pass, weights);
  stack.forward({x1.view(), x2.view()});
  EXPECT_FALSE(same_bits(x1.view(), x1_before.view()));
  std::vector<int> done;
  stack.backward({x1.view(), x2.view()}, {dx1.view(), dx2.view()}, gradients,
                 [&](int layer) { done.push_back(layer); });
  std::reverse(done.begin(), done.end());
  EXPECT_EQ(done.size(), spec.layers.size());
  for (size_t layer = 0; layer < done.size(); ++layer) {
    EXPECT_EQ(done[layer], static_cast<int>(layer)) << "from the last to the first";
  }
  EXPECT_TRUE(same_bits(x1.view(), x1_before.view()));
  EXPECT_TRUE(same_bits(x2.view(), x2_before.view()));
  EXPECT_EQ(model.fault_count(), 0);
}

TEST(ModelTest, SameBitsStoredOrReconstructedOnAnyThreadsInAnyGrouping) {
  constexpr int64_t kSamples = 4;
  const ModelSpec spec = mixed_spec();
  const TestBatch batch(spec, kSamples, kLength, 2);
  TestModel expected(spec);
  expected.accumulate(batch, 0, kSamples, kLength);
  ASSERT_GT(expected.loss_value(), 0);
  EXPECT_EQ(expected.fault_count(), 0);

  ModelSpec stored_spec = spec;
  stored_spec.store_activations = true;
  TestModel stored(stored_spec);
  stored.accumulate(batch, 0, kSamples, kLength);

  TestModel threaded(spec, 3);
  threaded.accumulate(batch, 0, kSamples, kLength);

  TestModel accumulated(spec, 2);
  for (int64_t sample : {2, 0, 3, 1}) accumulated.accumulate(batch, sample, 1, kLength);

  for (const TestModel* model : {&stored, &threaded, &accumulated}) {
    EXPECT_EQ(model->loss_value(), expected.loss_value());
    EXPECT_TRUE(same_bits(model->gradients.view(), expected.gradients.view()));
  }
}

TEST(ModelTest, FloatSumsAgreeWithExactSums) {
  ModelSpec spec = mixed_spec();
  const TestBatch batch(spec, 2, kLength, 6);
  TestModel exact(spec);
  exact.accumulate(batch, 0, 2, kLength);
  spec.exact_sums = false;
  TestModel floats(spec);
  floats.accumulate(batch, 0, 2, kLength);
  EXPECT_LT(testing::relative_error(to_doubles(floats.gradients), to_doubles(exact.gradients)),
            1e-5);
}

/// Positions up to and including `last` whose logits change when all later tokens change.
int64_t leaked_positions(AttentionKind kind, int64_t last) {
  const ModelSpec spec = small_spec({kind, kLocal, kind});
  TestModel model(spec, 2);
  const TestBatch batch(spec, 1, kLength, 9);
  const Tensor before = model.logits(batch.tokens.view(), 1, kLength);
  for (int64_t i = last + 1; i < kLength; ++i) {
    int32_t& token = batch.tokens.data<int32_t>()[i];
    token = (token + 1) % static_cast<int32_t>(spec.vocabulary);
  }
  const Tensor after = model.logits(batch.tokens.view(), 1, kLength);
  EXPECT_FALSE(same_bits(before.view(), after.view()));
  int64_t leaked = 0;
  for (int64_t i = 0; i <= last; ++i) {
    leaked += !same_bits(before.view().rows(i, i + 1), after.view().rows(i, i + 1));
  }
  return leaked;
}

TEST(ModelTest, LaterTokensMoveNoBitOfEarlierLogitsInStrict) {
  for (int64_t last : {0, 1, 17, 70, 127, 128, 148}) EXPECT_EQ(leaked_positions(kStrict, last), 0);
  for (int64_t last : {17, 128}) EXPECT_EQ(leaked_positions(kFull, last), 0);
}

TEST(ModelTest, LaterTokensLeakIntoEarlierLogitsInChunked) {
  EXPECT_GT(leaked_positions(kChunked, 70), 35);
}

TEST(ModelTest, AnyLengthRuns) {
  const ModelSpec spec = mixed_spec();
  for (int64_t length : {1, 2, 15, 16, 17, 127, 129, 300}) {
    TestModel model(spec, 2);
    const TestBatch batch(spec, 2, length, 12);
    EXPECT_GT(model.accumulate(batch, 0, 2, length), 0) << length;
    EXPECT_EQ(model.fault_count(), 0) << length;
  }
}

TEST(ModelTest, EvaluationDropsNothing) {
  ModelSpec spec = mixed_spec();
  const TestBatch batch(spec, 2, kLength, 3);
  const double with_rates = TestModel(spec).evaluate(batch, 2, kLength);
  spec.dropout = 0;
  spec.attention_dropout = 0;
  EXPECT_EQ(TestModel(spec).evaluate(batch, 2, kLength), with_rates);
}

}  // namespace
}  // namespace reformer
