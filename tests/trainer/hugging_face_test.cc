// Where every parameter is kept in the files of Hugging Face, and how it is read.
#include "trainer/weights/hugging_face.h"

#include <algorithm>
#include <functional>
#include <set>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/model_testing.h"

namespace reformer {
namespace {

using testing::expect_contains;

HuggingFaceTensor counterpart(const std::string& name, const ModelSpec& spec) {
  const std::vector<ParameterInfo> parameters = list_parameters(spec);
  const auto found = std::find_if(parameters.begin(), parameters.end(),
                                  [&](const auto& parameter) { return parameter.name == name; });
  CHECK(found != parameters.end());
  return hugging_face_tensor(*found, spec);
}

TEST(HuggingFaceTest, EveryParameterHasACounterpartOfItsSize) {
  const ModelSpec spec = testing::small_spec({AttentionKind::kChunked, AttentionKind::kLocal,
                                              AttentionKind::kStrict, AttentionKind::kFull});
  std::set<std::string> names;
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    const HuggingFaceTensor there = hugging_face_tensor(parameter, spec);
    EXPECT_EQ(there.shape.elements(), parameter.shape.elements()) << there.name;
    EXPECT_TRUE(names.insert(there.name).second) << there.name;
  }
}

TEST(HuggingFaceTest, MatricesAreTransposedTablesAreNot) {
  const ModelSpec spec = testing::small_spec({AttentionKind::kChunked, AttentionKind::kLocal});
  const HuggingFaceTensor expand = counterpart("layers.1.feed_forward.expand.weight", spec);
  EXPECT_EQ(expand.name, "reformer.encoder.layers.1.feed_forward.dense.dense.weight");
  EXPECT_EQ(expand.shape, (Shape{40, 24}));
  EXPECT_TRUE(expand.transposed);
  const HuggingFaceTensor head = counterpart("head.weight", spec);
  EXPECT_EQ(head.shape, (Shape{40, 48}));
  EXPECT_TRUE(head.transposed);
  EXPECT_FALSE(counterpart("embedding.tokens", spec).transposed);
  const HuggingFaceTensor axis = counterpart("embedding.positions.1", spec);
  EXPECT_EQ(axis.name, "reformer.embeddings.position_embeddings.weights.1");
  EXPECT_EQ(axis.shape, (Shape{1, 15, 16}));
  EXPECT_FALSE(axis.transposed);
}

TEST(HuggingFaceTest, ThereAndBackChangesNoBit) {
  ModelSpec spec = testing::small_spec({AttentionKind::kChunked, AttentionKind::kLocal});
  for (const bool axial : {true, false}) {
    if (!axial) spec.position_axes = {{.extent = 300, .width = 24}};
    const Tensor flat(DType::kFloat32, {flat_elements(spec)});
    uint32_t index = 0;
    for (const ParameterInfo& parameter : list_parameters(spec)) {
      const Tensor values = initial_values(parameter, index++, /*seed=*/5);
      std::memcpy(parameter.in(flat.view()).raw(), values.view().raw(), values.view().bytes());
    }
    const testing::TemporaryDirectory directory;
    const std::string path = directory.path() + "/model.safetensors";
    write_safetensors(path, to_hugging_face(spec, flat.view()));
    EXPECT_TRUE(
        testing::same_bits(read_hugging_face(SafetensorsFile(path), spec).view(), flat.view()));
  }
}

TEST(HuggingFaceTest, TheConfigurationSaysWhatComputesTheSame) {
  const ModelSpec spec = testing::small_spec({AttentionKind::kLocal, AttentionKind::kChunked});
  const std::string config = hugging_face_config(spec);
  for (const char* line :
       {R"("model_type": "reformer")", R"("num_hashes": 2)", R"("hidden_act": "gelu")",
        R"("lsh_attn_chunk_length": 16)", R"("attention_head_size": 8)", R"("is_decoder": true)"}) {
    expect_contains(config, line);
  }
}

TEST(HuggingFaceTest, WhatTheLibraryHasNotIsRefused) {
  const auto refusal = [](AttentionKind kind, const std::function<void(ModelSpec&)>& change) {
    ModelSpec spec = testing::small_spec({AttentionKind::kLocal, kind});
    change(spec);
    try {
      hugging_face_config(spec);
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  const auto nothing = [](ModelSpec&) {};
  expect_contains(refusal(AttentionKind::kStrict, nothing), "LSH STRICT attention (layer 1)");
  expect_contains(refusal(AttentionKind::kFull, nothing), "FULL attention (layer 1)");
  expect_contains(refusal(AttentionKind::kStrict, nothing), "--format safetensors");
  const auto of_last = [](ModelSpec& spec) -> AttentionPattern& {
    return spec.layers[1].attention;
  };
  constexpr AttentionKind kChunked = AttentionKind::kChunked;
  expect_contains(refusal(kChunked, [&](ModelSpec& spec) { of_last(spec).causal = false; }),
                  "bidirectional");
  expect_contains(
      refusal(kChunked, [&](ModelSpec& spec) { of_last(spec).same_bucket_only = true; }),
      "same_bucket_only");
  expect_contains(
      refusal(kChunked, [&](ModelSpec& spec) { of_last(spec).correct_duplicates = true; }),
      "correct_duplicates");
  expect_contains(refusal(kChunked, [](ModelSpec& spec) { spec.position_axes.clear(); }),
                  "without positions");
}

TEST(HuggingFaceTest, AnotherShapeOrAMissingTensorIsNamed) {
  const SafetensorsFile file("tests/golden/local.safetensors");
  ModelSpec spec = testing::small_spec({AttentionKind::kLocal});
  const auto refusal = [&](const std::string& prefix) -> std::string {
    try {
      read_hugging_face(file, spec, prefix);
    } catch (const DataError& error) {
      return error.what();
    }
    return "accepted";
  };
  expect_contains(refusal("weight/"), "word_embeddings.weight has the shape");
  expect_contains(refusal(""), "has no tensor reformer.embeddings.word_embeddings.weight");
}

}  // namespace
}  // namespace reformer
