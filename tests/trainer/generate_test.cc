// Continuations of a small random model.
#include "trainer/generation/generate.h"

#include <gtest/gtest.h>

#include "tests/trainer/model_testing.h"
#include "trainer/data/byte_tokenizer.h"

namespace reformer {
namespace {

using testing::small_spec;
using testing::TestModel;

using Prompts = std::vector<std::vector<int32_t>>;

class GenerateTest : public ::testing::Test {
 protected:
  GenerateTest() : model_(spec()) {}

  static ModelSpec spec() {
    ModelSpec spec = small_spec({AttentionKind::kLocal, AttentionKind::kStrict});
    spec.vocabulary = 256;
    return spec;
  }

  std::vector<Continuation> continue_all(
      const Prompts& prompts, const GenerationOptions& options,
      const TextSink& sink = [](size_t, std::string_view) {}) {
    const Arena::Mark mark(*model_.arena);
    size_t longest = 0;
    for (const auto& prompt : prompts) longest = std::max(longest, prompt.size());
    Decoder decoder({.backend = *model_.backend,
                     .arena = *model_.arena,
                     .spec = model_.spec,
                     .parameters = model_.parameters.view(),
                     .rotations = model_.rotations,
                     .sequences = static_cast<int64_t>(prompts.size()),
                     .capacity = static_cast<int64_t>(longest) + options.max_tokens - 1});
    return generate(decoder, tokenizer_, prompts, options, sink);
  }

  TestModel model_;
  ByteTokenizer tokenizer_;
};

const Prompts kPrompts{{65}, {70, 71, 72, 73, 74}, {80, 81}};

TEST_F(GenerateTest, IsRepeatable) {
  const auto first = continue_all(kPrompts, {.max_tokens = 30});
  const auto second = continue_all(kPrompts, {.max_tokens = 30});
  ASSERT_EQ(first.size(), 3U);
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].tokens, second[i].tokens);
    EXPECT_EQ(first[i].tokens.size(), 30U);
    EXPECT_FALSE(first[i].stopped);
    EXPECT_EQ(first[i].text, tokenizer_.decode(first[i].tokens));
  }
  const auto other_seed = continue_all(kPrompts, {.max_tokens = 30, .sampling = {.seed = 2}});
  EXPECT_NE(first[0].tokens, other_seed[0].tokens);
}

TEST_F(GenerateTest, EqualPromptsAreContinuedDifferently) {
  const auto samples = continue_all({{65}, {65}}, {.max_tokens = 20});
  EXPECT_NE(samples[0].tokens, samples[1].tokens);
}

TEST_F(GenerateTest, TakesTheMostLikelyTokensOfTheForwardPass) {
  const GenerationOptions greedy{.max_tokens = 20, .sampling = {.temperature = 0}};
  const auto texts = continue_all(kPrompts, greedy);
  for (size_t i = 0; i < kPrompts.size(); ++i) {
    std::vector<int32_t> tokens = kPrompts[i];
    tokens.insert(tokens.end(), texts[i].tokens.begin(), texts[i].tokens.end());
    const auto length = static_cast<int64_t>(tokens.size());
    const Tensor logits = model_.logits(View(tokens.data(), DType::kInt32, {length}), 1, length);
    for (size_t t = kPrompts[i].size(); t < tokens.size(); ++t) {
      const float* const row = logits.data<float>() + (t - 1) * 256;
      EXPECT_EQ(tokens[t], std::max_element(row, row + 256) - row) << i << ", " << t;
    }
  }
}

TEST_F(GenerateTest, ShowsTheTextInPieces) {
  std::vector<std::string> shown(kPrompts.size());
  const auto texts = continue_all(kPrompts, {.max_tokens = 25, .stop = {"\n\n"}},
                                  [&](size_t i, std::string_view text) { shown[i] += text; });
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(shown[i], texts[i].text);
}

TEST_F(GenerateTest, AStopEndsOneTextAndNotTheOthers) {
  const auto free = continue_all(kPrompts, {.max_tokens = 40});
  // Two bytes from the middle of the second text.
  const std::string stop = free[1].text.substr(20, 2);
  const auto texts = continue_all(kPrompts, {.max_tokens = 40, .stop = {stop}});
  EXPECT_TRUE(texts[1].stopped);
  EXPECT_EQ(texts[1].text, free[1].text.substr(0, free[1].text.find(stop)));
  EXPECT_EQ(texts[1].tokens.size(), texts[1].text.size() + 2);
  EXPECT_EQ(texts[0].tokens, free[0].tokens);
  EXPECT_EQ(texts[0].tokens.size(), 40U);
}

TEST_F(GenerateTest, OneTokenNeedsNoStep) {
  EXPECT_EQ(continue_all({{65}}, {.max_tokens = 1})[0].tokens.size(), 1U);
}

}  // namespace
}  // namespace reformer
