// The flat buffer of parameters: places, views and initial values.
#include "trainer/model/parameters.h"

#include <cmath>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "tests/trainer/model_testing.h"

namespace reformer {
namespace {

using testing::same_bits;
using testing::small_spec;

ModelSpec mixed_spec() {
  return small_spec({AttentionKind::kStrict, AttentionKind::kLocal, AttentionKind::kFull,
                     AttentionKind::kChunked});
}

std::map<std::string, ParameterInfo> by_name(const ModelSpec& spec) {
  std::map<std::string, ParameterInfo> parameters;
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    parameters.emplace(parameter.name, parameter);
  }
  return parameters;
}

/// All views of a binding, in no order that matters.
std::vector<View> all_views(const ModelTensors& tensors) {
  std::vector<View> views = tensors.embedding.axes;
  views.push_back(tensors.embedding.table);
  for (const AttentionTensors& a : tensors.attention) {
    views.insert(views.end(), {a.norm_gamma, a.norm_beta, a.query, a.key, a.value, a.output});
  }
  for (const FeedForwardTensors& f : tensors.feed_forward) {
    views.insert(views.end(),
                 {f.norm_gamma, f.norm_beta, f.expand, f.expand_bias, f.contract, f.contract_bias});
  }
  const HeadTensors& head = tensors.head;
  views.insert(views.end(), {head.norm_gamma, head.norm_beta, head.weight, head.bias});
  std::erase_if(views, [](const View& view) { return !view.defined(); });
  return views;
}

TEST(ParametersTest, OffsetsAreAlignedAndNothingOverlaps) {
  const ModelSpec spec = mixed_spec();
  int64_t end = 0;
  int64_t elements = 0;
  std::set<std::string> names;
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    EXPECT_EQ(parameter.offset % kParameterAlignment, 0) << parameter.name;
    EXPECT_GE(parameter.offset, end) << parameter.name;
    EXPECT_LT(parameter.offset, end + kParameterAlignment) << "a gap that alignment needs not";
    end = parameter.offset + parameter.shape.elements();
    elements += parameter.shape.elements();
    EXPECT_TRUE(names.insert(parameter.name).second) << parameter.name << " comes twice";
  }
  EXPECT_GE(flat_elements(spec), end);
  EXPECT_LT(flat_elements(spec), end + kParameterAlignment);
  EXPECT_EQ(flat_elements(spec) % kParameterAlignment, 0);
  EXPECT_EQ(parameter_count(spec), elements);
}

TEST(ParametersTest, TheCountIsThatOfTheFormula) {
  // width 24, H·D = 16, ff_width 40, vocabulary 40, positions 20·8 + 15·16.
  constexpr int64_t kEmbedding = 40 * 24 + 20 * 8 + 15 * 16;
  constexpr int64_t kAttention = 2 * 24 + 3 * 24 * 16;
  constexpr int64_t kFeedForward = 2 * 24 + 24 * 40 + 40 + 40 * 24 + 24;
  constexpr int64_t kHead = 2 * 48 + 48 * 40 + 40;
  EXPECT_EQ(parameter_count(small_spec({AttentionKind::kFull})),
            kEmbedding + kAttention + kFeedForward + kHead);
  EXPECT_EQ(parameter_count(mixed_spec()),
            kEmbedding + 4 * (kAttention + kFeedForward) + 24 * 16 + kHead)
      << "LOCAL has a key projection of its own";
}

TEST(ParametersTest, BindingCoversEveryElementOfTheListOnce) {
  const ModelSpec spec = mixed_spec();
  const Tensor flat(DType::kFloat32, {flat_elements(spec)});
  std::map<const float*, Shape> bound;
  for (const View& view : all_views(bind_parameters(spec, flat.view()))) {
    EXPECT_TRUE(bound.emplace(view.data<float>(), view.shape()).second) << "bound twice";
  }
  const std::vector<ParameterInfo> parameters = list_parameters(spec);
  EXPECT_EQ(bound.size(), parameters.size());
  for (const ParameterInfo& parameter : parameters) {
    const View view = parameter.in(flat.view());
    ASSERT_TRUE(bound.contains(view.data<float>())) << parameter.name;
    EXPECT_EQ(bound.at(view.data<float>()), parameter.shape) << parameter.name;
  }
}

TEST(ParametersTest, NamesMeanTheTensorsThatBlocksUse) {
  const ModelSpec spec = mixed_spec();
  const Tensor flat(DType::kInt64, {flat_elements(spec)});  // gradients are bound as well
  const ModelTensors tensors = bind_parameters(spec, flat.view());
  const std::map<std::string, ParameterInfo> named = by_name(spec);
  const auto is = [&](const std::string& name, const View& view) {
    return named.contains(name) && named.at(name).in(flat.view()).raw() == view.raw() &&
           view.dtype() == DType::kInt64;
  };
  EXPECT_TRUE(is("embedding.tokens", tensors.embedding.table));
  EXPECT_TRUE(is("embedding.positions.1", tensors.embedding.axes[1]));
  EXPECT_TRUE(is("layers.0.attention.query_key.weight", tensors.attention[0].query));
  EXPECT_FALSE(tensors.attention[0].key.defined());
  EXPECT_TRUE(is("layers.1.attention.query.weight", tensors.attention[1].query));
  EXPECT_TRUE(is("layers.1.attention.key.weight", tensors.attention[1].key));
  EXPECT_TRUE(is("layers.3.attention.output.weight", tensors.attention[3].output));
  EXPECT_TRUE(is("layers.2.feed_forward.expand.bias", tensors.feed_forward[2].expand_bias));
  EXPECT_TRUE(is("layers.2.feed_forward.contract.weight", tensors.feed_forward[2].contract));
  EXPECT_TRUE(is("head.weight", tensors.head.weight));
}

TEST(ParametersDeathTest, ABufferOfAnotherModelIsABug) {
  const ModelSpec spec = mixed_spec();
  const Tensor flat(DType::kFloat32, {flat_elements(spec) + kParameterAlignment});
  EXPECT_DEATH(bind_parameters(spec, flat.view()), "offset == flat.elements");
}

TEST(InitialValuesTest, AreAPureFunctionOfSeedAndIndex) {
  const ParameterInfo parameter{.name = "w", .shape = {7, 9}, .mean = 0, .deviation = 1};
  const Tensor values = initial_values(parameter, 4, 11);
  EXPECT_TRUE(same_bits(initial_values(parameter, 4, 11).view(), values.view()));
  EXPECT_FALSE(same_bits(initial_values(parameter, 5, 11).view(), values.view()));
  EXPECT_FALSE(same_bits(initial_values(parameter, 4, 12).view(), values.view()));
  // An element does not depend on how many follow it.
  const ParameterInfo longer{.name = "w", .shape = {8, 9}, .mean = 0, .deviation = 1};
  EXPECT_TRUE(same_bits(initial_values(longer, 4, 11).view().rows(0, 7), values.view()));
}

TEST(InitialValuesTest, HaveTheStatedMeanAndDeviation) {
  const ParameterInfo parameter{.name = "w", .shape = {300, 301}, .mean = 2, .deviation = 0.25f};
  const Tensor values = initial_values(parameter, 0, 1);
  const auto count = static_cast<double>(values.elements());
  double sum = 0;
  double squares = 0;
  std::set<float> distinct;
  for (int64_t i = 0; i < values.elements(); ++i) {
    const float value = values.data<float>()[i];
    distinct.insert(value);
    sum += static_cast<double>(value);
    squares += static_cast<double>(value - 2) * static_cast<double>(value - 2);
  }
  EXPECT_NEAR(sum / count, 2, 5 * 0.25 / std::sqrt(count));  // five standard errors
  EXPECT_NEAR(std::sqrt(squares / count), 0.25, 5 * 0.25 / std::sqrt(2 * count));
  EXPECT_GT(distinct.size(), 80000u) << "values repeat";
}

TEST(InitialValuesTest, WithoutDeviationAreTheMean) {
  const Tensor values = initial_values({.name = "g", .shape = {5}, .mean = 1}, 0, 1);
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(values.data<float>()[i], 1.0f);
}

TEST(InitialValuesTest, DeviationsKeepTheStreamsAtOneScale) {
  const std::map<std::string, ParameterInfo> named = by_name(mixed_spec());
  const auto deviation = [&](const std::string& name) { return named.at(name).deviation; };
  EXPECT_FLOAT_EQ(deviation("layers.0.attention.query_key.weight"), 1 / std::sqrt(24.0f));
  EXPECT_FLOAT_EQ(deviation("layers.1.feed_forward.expand.weight"), 1 / std::sqrt(24.0f));
  // Outputs of the 2·4 blocks add up.
  EXPECT_FLOAT_EQ(deviation("layers.3.attention.output.weight"), 1 / std::sqrt(8 * 16.0f));
  EXPECT_FLOAT_EQ(deviation("layers.0.feed_forward.contract.weight"), 1 / std::sqrt(8 * 40.0f));
  EXPECT_FLOAT_EQ(deviation("head.weight"), 1 / std::sqrt(48.0f));
  EXPECT_EQ(named.at("layers.2.attention.norm.gamma").mean, 1);
  EXPECT_EQ(deviation("layers.2.attention.norm.gamma"), 0);
  EXPECT_EQ(named.at("head.bias").mean, 0);
  EXPECT_EQ(deviation("head.bias"), 0);
}

}  // namespace
}  // namespace reformer
