// config.json of Hugging Face's Reformer: published ones, the library's defaults, and refusals.
#include "trainer/weights/hugging_face_config.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"
#include "trainer/config/config.h"
#include "trainer/model/parameters.h"

namespace reformer {
namespace {

using nlohmann::json;
using testing::expect_contains;

// The shapes of google/reformer-enwik8 and google/reformer-crime-and-punishment.
const json kEnwik8 = json::parse(R"({
  "architectures": ["ReformerModelWithLMHead"], "model_type": "reformer", "is_decoder": true,
  "attn_layers": ["local", "local", "lsh", "local", "local", "local", "lsh", "local", "local",
                  "local", "lsh", "local"],
  "attention_head_size": 128, "num_attention_heads": 8, "hidden_size": 1024,
  "feed_forward_size": 4096, "hidden_act": "relu", "vocab_size": 258, "layer_norm_eps": 1e-12,
  "max_position_embeddings": 65536, "axial_pos_embds": true, "axial_pos_shape": [128, 512],
  "axial_pos_embds_dim": [256, 768], "axial_norm_std": 1.0, "sinusoidal_pos_embds": false,
  "lsh_attn_chunk_length": 256, "lsh_num_chunks_before": 1, "lsh_num_chunks_after": 0,
  "local_attn_chunk_length": 128, "local_num_chunks_before": 1, "local_num_chunks_after": 0,
  "num_hashes": 4, "num_buckets": 512, "num_hidden_layers": 12, "hash_seed": null,
  "hidden_dropout_prob": 0.2, "lsh_attention_probs_dropout_prob": 0.1,
  "local_attention_probs_dropout_prob": 0.2, "initializer_range": 0.02, "pad_token_id": 0,
  "eos_token_id": 2, "output_past": true, "chunk_size_lm_head": 0, "chunk_size_feed_forward": 0,
  "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 100}}})");
const json kCrimeAndPunishment = json::parse(R"({
  "architectures": ["ReformerModelWithLMHead"], "model_type": "reformer", "is_decoder": true,
  "attn_layers": ["local", "lsh", "local", "lsh", "local", "lsh"],
  "attention_head_size": 64, "num_attention_heads": 2, "hidden_size": 256,
  "feed_forward_size": 512, "hidden_act": "relu", "vocab_size": 320, "layer_norm_eps": 1e-12,
  "max_position_embeddings": 524288, "axial_pos_embds": true, "axial_pos_shape": [512, 1024],
  "axial_pos_embds_dim": [64, 192], "axial_norm_std": 1.0, "sinusoidal_pos_embds": false,
  "lsh_attn_chunk_length": 64, "lsh_num_chunks_before": 1, "lsh_num_chunks_after": 0,
  "local_attn_chunk_length": 64, "local_num_chunks_before": 1, "local_num_chunks_after": 0,
  "num_hashes": 1, "num_buckets": [64, 128], "num_hidden_layers": 6, "hash_seed": null,
  "hidden_dropout_prob": 0.05, "lsh_attention_probs_dropout_prob": 0.05,
  "local_attention_probs_dropout_prob": 0.05, "num_chunks_after": 0, "num_chunks_before": 1})");

HuggingFaceModel read(const json& config) {
  return read_hugging_face_config(config.dump(), "config.json");
}

/// The model as training would see it.
ModelSpec spec_of(const json& config) {
  config::Run run;
  *run.mutable_model() = read(config).model;
  return parse_config(to_text(run), "test",
                      {"data.path=text", fmt::format("data.length={}", run.model().max_length())})
      .model;
}

std::string refusal(const json& change, const json& base = kEnwik8) {
  json config = base;
  config.update(change);
  try {
    read(config);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(HuggingFaceConfigTest, Enwik8) {
  const ModelSpec spec = spec_of(kEnwik8);
  EXPECT_EQ(spec.vocabulary, 258);
  EXPECT_EQ(spec.width, 1024);
  EXPECT_EQ(spec.ff_width, 4096);
  EXPECT_EQ(spec.max_length, 65536);
  EXPECT_EQ(spec.activation, Activation::kRelu);
  EXPECT_EQ(spec.layer_norm_epsilon, 1e-12f);
  EXPECT_EQ(spec.dropout, 0.2f);
  EXPECT_EQ(spec.attention_dropout, 0.1f);
  ASSERT_EQ(spec.position_axes.size(), 2u);
  EXPECT_EQ(spec.position_axes[0].extent, 128);
  EXPECT_EQ(spec.position_axes[1].width, 768);
  ASSERT_EQ(spec.layers.size(), 12u);
  for (size_t layer = 0; layer < 12; ++layer) {
    const AttentionPattern& pattern = spec.layers[layer].attention;
    const bool hashed = layer % 4 == 2;
    EXPECT_EQ(pattern.kind, hashed ? AttentionKind::kChunked : AttentionKind::kLocal);
    EXPECT_EQ(pattern.chunk_length, hashed ? 256 : 128);
    EXPECT_TRUE(pattern.causal);
    EXPECT_EQ(pattern.heads, 8);
    EXPECT_EQ(pattern.head_dim, 128);
    if (!hashed) continue;
    EXPECT_EQ(pattern.rounds, 4);
    EXPECT_FALSE(pattern.same_bucket_only);
    EXPECT_FALSE(pattern.correct_duplicates);
    EXPECT_EQ(spec.layers[layer].buckets, (std::vector<int64_t>{512}));
  }
  const std::vector<std::string> notes = read(kEnwik8).notes;
  ASSERT_EQ(notes.size(), 1u);
  expect_contains(notes[0], "0.1 as in the LSH layers, where the LOCAL ones had 0.2");
}

TEST(HuggingFaceConfigTest, CrimeAndPunishment) {
  const HuggingFaceModel model = read(kCrimeAndPunishment);
  EXPECT_TRUE(model.notes.empty());
  EXPECT_EQ(model.model.attention_pattern_size(), 2);
  const ModelSpec spec = spec_of(kCrimeAndPunishment);
  ASSERT_EQ(spec.layers.size(), 6u);
  EXPECT_EQ(spec.max_length, 524288);
  EXPECT_EQ(spec.layers[0].attention.kind, AttentionKind::kLocal);
  EXPECT_EQ(spec.layers[5].attention.kind, AttentionKind::kChunked);
  EXPECT_EQ(spec.layers[5].buckets, (std::vector<int64_t>{64, 128}));
  EXPECT_EQ(spec.layers[5].attention.head_dim, 64);
}

TEST(HuggingFaceConfigTest, WhatIsLeftOutHasTheLibrarysDefault) {
  const config::Model model = read({{"model_type", "reformer"}}).model;
  EXPECT_EQ(model.layers(), 6);
  EXPECT_EQ(model.attention_pattern(0), config::Model::LOCAL);
  EXPECT_EQ(model.vocabulary(), 320);
  EXPECT_EQ(model.width(), 256);
  EXPECT_EQ(model.ff_width(), 512);
  EXPECT_EQ(model.heads(), 12);
  EXPECT_EQ(model.head_width(), 64);
  EXPECT_EQ(model.max_length(), 4096);
  EXPECT_EQ(model.layer_norm_epsilon(), 1e-12);
  EXPECT_EQ(model.dropout(), 0.05);
  EXPECT_TRUE(model.lsh().bidirectional());
  EXPECT_EQ(model.lsh().rounds(), 1);
  EXPECT_EQ(model.lsh().buckets(0), 128);
  EXPECT_EQ(model.positions().shape(1), 64);
  EXPECT_EQ(model.positions().widths(1), 192);
}

TEST(HuggingFaceConfigTest, BucketsFollowTheLibrarysRule) {
  // As ReformerModelWithLMHead of transformers 4.57 sets them at the first sequence.
  const auto buckets = [](int64_t length, int64_t chunk) {
    json config = kEnwik8;
    config.update({{"num_buckets", nullptr},
                   {"max_position_embeddings", length},
                   {"lsh_attn_chunk_length", chunk}});
    const config::Lsh lsh = read(config).model.lsh();
    return std::vector<int64_t>(lsh.buckets().begin(), lsh.buckets().end());
  };
  EXPECT_EQ(buckets(65536, 256), (std::vector<int64_t>{512}));
  EXPECT_EQ(buckets(65536, 64), (std::vector<int64_t>{32, 64}));
  EXPECT_EQ(buckets(16384, 64), (std::vector<int64_t>{16, 32}));
  EXPECT_EQ(buckets(4096, 64), (std::vector<int64_t>{128}));
  EXPECT_EQ(buckets(192, 64), (std::vector<int64_t>{4}));  // 6 rounded down to a power of two
  EXPECT_EQ(buckets(9, 4), (std::vector<int64_t>{4}));
}

TEST(HuggingFaceConfigTest, OtherSettingsThatAreComputedHere) {
  json config = kEnwik8;
  config.update({{"hidden_act", "gelu"}, {"axial_pos_embds", false}, {"is_decoder", false}});
  const ModelSpec spec = spec_of(config);
  EXPECT_EQ(spec.activation, Activation::kGelu);
  ASSERT_EQ(spec.position_axes.size(), 1u);
  EXPECT_EQ(spec.position_axes[0].extent, 65536);
  EXPECT_FALSE(spec.layers[0].attention.causal);
  EXPECT_FALSE(spec.layers[2].attention.causal);
  expect_contains(read(config).notes.back(), "is no likelihood");
}

TEST(HuggingFaceConfigTest, WhatIsLeftOutOfAccountIsSaid) {
  json config = kCrimeAndPunishment;
  config.update({{"hash_seed", 3}, {"rotary", true}, {"spiral", 1}});
  const std::vector<std::string> notes = read(config).notes;
  ASSERT_EQ(notes.size(), 2u);
  expect_contains(notes[0], "hash_seed 3");
  expect_contains(notes[1], "unknown here: rotary, spiral");
}

TEST(HuggingFaceConfigTest, WhatWouldBeComputedOtherwiseIsRefused) {
  EXPECT_EQ(refusal(json::object()), "accepted");
  EXPECT_EQ(refusal({{"model_type", "bert"}}),
            "config.json: model_type \"bert\": is another kind of model, legal: \"reformer\"");
  expect_contains(refusal({{"tie_word_embeddings", true}}), "tie_word_embeddings true: ");
  expect_contains(refusal({{"sinusoidal_pos_embds", true}}), "sinusoidal_pos_embds true: ");
  expect_contains(refusal({{"pruned_heads", {{"1", {0}}}}}), "pruned_heads");
  expect_contains(refusal({{"num_hidden_layers", 6}}), "num_hidden_layers 6: ");
  expect_contains(refusal({{"hidden_act", "gelu_new"}}),
                  "hidden_act \"gelu_new\": is not computed here, legal: \"relu\" or \"gelu\"");
  expect_contains(refusal({{"attn_layers", {"lsh", "full"}}}), "has a layer \"full\"");
  expect_contains(refusal({{"attn_layers", json::array()}}), "attn_layers []: gives no layers");
  expect_contains(refusal({{"attn_layers", "lsh"}}), "attn_layers \"lsh\": gives no layers");
  expect_contains(refusal({{"lsh_num_chunks_before", 2}}), "lsh_num_chunks_before 2: ");
  expect_contains(refusal({{"lsh_num_chunks_after", 1}}), "lsh_num_chunks_after 1: ");
  expect_contains(refusal({{"local_num_chunks_before", 0}}),
                  "local_num_chunks_before 0: is not computed here: a query sees its own chunk and "
                  "the one before, legal: 1");
  expect_contains(refusal({{"local_num_chunks_after", 1}}), "local_num_chunks_after 1: ");
  expect_contains(refusal({{"lsh_attn_chunk_length", nullptr}}),
                  "lsh_attn_chunk_length null: is no whole number");
  expect_contains(refusal({{"max_position_embeddings", 512}, {"axial_pos_shape", {16, 32}}}),
                  "max_position_embeddings 512: is too short to hash with lsh_attn_chunk_length "
                  "256, legal: more than 512");
  expect_contains(
      refusal({{"attn_layers", {"local"}}, {"num_hidden_layers", 1}, {"is_decoder", false}}),
      "is_decoder false: ");
}

TEST(HuggingFaceConfigTest, NumbersOutOfRangeAreRefused) {
  expect_contains(refusal({{"vocab_size", 0}}), "vocab_size 0: is out of range");
  expect_contains(refusal({{"vocab_size", 1.5}}), "vocab_size 1.5: is no whole number");
  expect_contains(refusal({{"hidden_size", UINT64_MAX}}), "is out of range");
  expect_contains(refusal({{"hidden_size", -1}}), "hidden_size -1: is out of range");
  expect_contains(refusal({{"attention_head_size", 0}}), "attention_head_size 0: ");
  expect_contains(refusal({{"num_hashes", 65}}), "num_hashes 65: is out of range");
  expect_contains(refusal({{"layer_norm_eps", 0}}), "layer_norm_eps 0: is out of range");
  expect_contains(refusal({{"layer_norm_eps", "1e-12"}}), "is no number");
  expect_contains(refusal({{"hidden_dropout_prob", 1}}), "hidden_dropout_prob 1: ");
  expect_contains(refusal({{"is_decoder", 1}}), "is_decoder 1: is neither true nor false");
  expect_contains(refusal({{"num_buckets", 511}}), "num_buckets 511: is odd");
  expect_contains(refusal({{"num_buckets", 0}}), "num_buckets 0: is out of range");
  expect_contains(refusal({{"num_buckets", json::array()}}), "num_buckets []: is an empty list");
  expect_contains(refusal({{"num_buckets", {65536, 65536}}}), "has too large a product");
  expect_contains(refusal({{"axial_pos_shape", 65536}}), "axial_pos_shape 65536: is no list");
  expect_contains(refusal({{"axial_pos_shape", {128, 511}}}),
                  "axial_pos_shape [128,511]: has 65408 positions, and max_position_embeddings is "
                  "65536");
  expect_contains(refusal({{"axial_pos_embds_dim", {1024}}}), "does not fit the 2 axes");
  expect_contains(refusal({{"axial_pos_embds_dim", {256, 767}}}),
                  "adds up to 1023, and hidden_size is 1024");
  expect_contains(refusal({{"axial_pos_shape", {16, 16, 16, 4, 4}},
                           {"axial_pos_embds_dim", {256, 256, 256, 128, 128}}}),
                  "has too many axes, legal: up to 4");
}

}  // namespace
}  // namespace reformer
