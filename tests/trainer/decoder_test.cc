// Incremental decoding against the forward pass over the whole text.
#include "trainer/model/decoder.h"

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "tests/trainer/model_testing.h"
#include "trainer/checks/forward_buckets.h"

namespace reformer {
namespace {

using testing::Random;
using testing::small_spec;
using testing::TestModel;

constexpr AttentionKind kStrict = AttentionKind::kStrict;
constexpr AttentionKind kChunked = AttentionKind::kChunked;
constexpr AttentionKind kLocal = AttentionKind::kLocal;
constexpr AttentionKind kFull = AttentionKind::kFull;

using Tokens = std::vector<int32_t>;

Tokens random_tokens(const ModelSpec& spec, int64_t length, uint64_t seed) {
  Random random(seed);
  const Tensor tokens = random.integers({length}, 0, static_cast<int32_t>(spec.vocabulary - 1));
  return {tokens.data<int32_t>(), tokens.data<int32_t>() + length};
}

View view_of(const Tokens& tokens) {
  return View(const_cast<int32_t*>(tokens.data()), DType::kInt32,
              {static_cast<int64_t>(tokens.size())});
}

Decoder make_decoder(const TestModel& model, int64_t sequences, int64_t capacity) {
  return Decoder({.backend = *model.backend,
                  .arena = *model.arena,
                  .spec = model.spec,
                  .parameters = model.parameters.view(),
                  .rotations = model.rotations,
                  .sequences = sequences,
                  .capacity = capacity});
}

/// The buckets that a forward pass over the whole text chooses.
ForwardBuckets forward_buckets(const TestModel& model, const Tokens& tokens) {
  const auto length = static_cast<int64_t>(tokens.size());
  ForwardBuckets buckets(length);
  Tensor logits(DType::kFloat32, {1, model.spec.vocabulary});
  Reformer(model.spec, model.parameters.view())
      .last_logits(
          model.pass(1, length, /*training=*/false), view_of(tokens), logits.view(),
          [&](const ObservedAttention& observed) { buckets.observe(*model.backend, observed); });
  return buckets;
}

/// Largest difference of two rows of logits, relative to the largest logit of the second.
double row_error(const float* actual, const float* expected, int64_t width) {
  double error = 0;
  double size = 1e-6;
  for (int64_t i = 0; i < width; ++i) {
    if (!std::isfinite(actual[i])) return HUGE_VAL;
    error = std::max(error, std::abs(static_cast<double>(actual[i]) - expected[i]));
    size = std::max(size, std::abs(static_cast<double>(expected[i])));
  }
  return error / size;
}

struct Text {
  Tokens tokens;
  int64_t prompt = 1;
};

/// Decodes the texts side by side with the buckets of the forward pass; returns the worst error of
/// any position after a prompt.
double worst_error(TestModel& model, const std::vector<Text>& texts) {
  std::vector<Tensor> expected;
  std::vector<ForwardBuckets> buckets;
  size_t capacity = 0;
  for (const Text& text : texts) {
    const auto length = static_cast<int64_t>(text.tokens.size());
    expected.push_back(model.logits(view_of(text.tokens), 1, length));
    buckets.push_back(forward_buckets(model, text.tokens));
    capacity = std::max(capacity, text.tokens.size());
  }
  const Arena::Mark mark(*model.arena);
  Decoder decoder =
      make_decoder(model, static_cast<int64_t>(texts.size()), static_cast<int64_t>(capacity));
  decoder.set_hash_hook([&](int layer, int64_t sequence, std::span<int32_t> bucket_of) {
    const Tokens forced =
        buckets[static_cast<size_t>(sequence)].of(layer, decoder.length(sequence));
    CHECK_EQ(forced.size(), bucket_of.size());
    std::copy(forced.begin(), forced.end(), bucket_of.begin());
  });

  double worst = 0;
  const int64_t vocabulary = model.spec.vocabulary;
  const auto compare = [&](const float* logits, int32_t sequence) {
    const int64_t position = decoder.length(sequence) - 1;
    const float* const row =
        expected[static_cast<size_t>(sequence)].data<float>() + position * vocabulary;
    worst = std::max(worst, row_error(logits, row, vocabulary));
  };
  for (int32_t sequence = 0; sequence < static_cast<int32_t>(texts.size()); ++sequence) {
    const Text& text = texts[static_cast<size_t>(sequence)];
    const Tensor logits =
        decoder.prefill(sequence, std::span(text.tokens).first(static_cast<size_t>(text.prompt)));
    compare(logits.data<float>(), sequence);
  }
  while (true) {
    Tokens sequences;
    Tokens next;
    // From the last to the first: rows are not sequences.
    for (auto s = static_cast<int32_t>(texts.size()) - 1; s >= 0; --s) {
      const Tokens& tokens = texts[static_cast<size_t>(s)].tokens;
      const auto length = static_cast<size_t>(decoder.length(s));
      if (length == tokens.size()) continue;
      sequences.push_back(s);
      next.push_back(tokens[length]);
    }
    if (sequences.empty()) break;
    const Tensor logits = decoder.step(sequences, next);
    for (size_t row = 0; row < sequences.size(); ++row) {
      compare(logits.data<float>() + static_cast<int64_t>(row) * vocabulary, sequences[row]);
    }
  }
  EXPECT_EQ(decoder.faults(), 0);
  return worst;
}

TEST(DecoderTest, EqualsTheForwardPassAtEveryPosition) {
  for (const std::vector<AttentionKind>& kinds : std::vector<std::vector<AttentionKind>>{
           {kStrict}, {kLocal}, {kFull}, {kLocal, kStrict, kFull, kStrict}}) {
    for (const DType streams : {DType::kFixed32, DType::kFloat32}) {
      ModelSpec spec = small_spec(kinds);
      spec.stream_dtype = streams;
      TestModel model(spec);
      // Prompts of one token, of whole chunks (16), and of anything, past several windows.
      const double error = worst_error(model, {{random_tokens(spec, 200, 1), 1},
                                               {random_tokens(spec, 150, 2), 64},
                                               {random_tokens(spec, 290, 3), 131}});
      EXPECT_LT(error, 2e-5) << kinds.size() << " layers";
    }
  }
}

TEST(DecoderTest, CorrectsDuplicates) {
  ModelSpec spec = small_spec({kStrict, kStrict});
  for (LayerSpec& layer : spec.layers) {
    layer.attention.rounds = 4;
    layer.attention.correct_duplicates = true;
  }
  TestModel model(spec);
  EXPECT_LT(worst_error(model, {{random_tokens(spec, 200, 1), 50}}), 2e-5);
}

TEST(DecoderTest, FreeHashesSeldomFlip) {
  const ModelSpec spec = small_spec({kLocal, kStrict, kStrict});
  TestModel model(spec);
  const Tokens tokens = random_tokens(spec, 290, 4);
  const ForwardBuckets forward = forward_buckets(model, tokens);
  Decoder decoder = make_decoder(model, 1, 290);
  int64_t hashes = 0;
  int64_t flips = 0;
  decoder.set_hash_hook([&](int layer, int64_t sequence, std::span<int32_t> bucket_of) {
    const Tokens expected = forward.of(layer, decoder.length(sequence));
    for (size_t i = 0; i < bucket_of.size(); ++i) flips += bucket_of[i] != expected[i];
    hashes += static_cast<int64_t>(bucket_of.size());
  });
  decoder.prefill(0, std::span(tokens).first(10));
  for (size_t i = 10; i < tokens.size(); ++i) decoder.step(Tokens{0}, Tokens{tokens[i]});
  EXPECT_EQ(hashes, 280 * 2 * 4);
  EXPECT_LE(flips, hashes / 500);
}

TEST(DecoderTest, AChunkedTokenSeesWhatTheTextSoFarLetsItSee) {
  for (const bool own_bucket : {false, true}) {
    ModelSpec spec = small_spec({kChunked});
    spec.layers[0].attention.same_bucket_only = own_bucket;
    TestModel model(spec);
    const Tokens tokens = random_tokens(spec, 120, 6);
    Decoder decoder = make_decoder(model, 1, 120);
    Tensor logits = decoder.prefill(0, std::span(tokens).first(30));
    for (size_t length = 31; length <= tokens.size(); ++length) {
      logits = decoder.step(Tokens{0}, Tokens{tokens[length - 1]});
      const Tokens so_far(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(length));
      const Tensor expected = model.logits(view_of(so_far), 1, static_cast<int64_t>(length));
      const float* const last =
          expected.data<float>() + static_cast<int64_t>(length - 1) * spec.vocabulary;
      EXPECT_LT(row_error(logits.data<float>(), last, spec.vocabulary), 1e-4)
          << length << " tokens";
    }
  }
}

TEST(DecoderTest, GoesToTheMaximumLength) {
  ModelSpec spec = small_spec({kLocal, kStrict});
  spec.max_length = 65536;
  spec.position_axes = {{.extent = 256, .width = 8}, {.extent = 256, .width = 16}};
  for (LayerSpec& layer : spec.layers) layer.attention.chunk_length = 64;
  spec.layers[1].buckets = {32, 32};
  TestModel model(spec, /*threads=*/2);
  EXPECT_LT(worst_error(model, {{random_tokens(spec, 65536, 8), 1}}), 1e-4);
}

}  // namespace
}  // namespace reformer
