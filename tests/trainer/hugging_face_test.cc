// Where every parameter is kept in the files of Hugging Face, and how it is read.
#include "trainer/weights/hugging_face.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
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
  ModelSpec spec = testing::small_spec({AttentionKind::kLocal, AttentionKind::kChunked});
  spec.dropout = 0.05f;
  spec.layer_norm_epsilon = 1e-12f;
  const std::string config = hugging_face_config(spec);
  for (const char* line :
       {R"("model_type": "reformer")", R"("num_hashes": 2)", R"("hidden_act": "gelu")",
        R"("lsh_attn_chunk_length": 16)", R"("attention_head_size": 8)", R"("is_decoder": true)",
        R"("hidden_dropout_prob": 0.05,)", R"("layer_norm_eps": 1e-12,)"}) {
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
  expect_contains(refusal(kChunked, [](ModelSpec& spec) { spec.position_axes.resize(5); }),
                  "positions of more than 4 axes");
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

/// A file whose every tensor claims to be larger than any memory.
class BoastfulFile final : public TensorFile {
 public:
  explicit BoastfulFile(const ModelSpec& spec) : TensorFile("boastful") {
    for (const ParameterInfo& parameter : list_parameters(spec)) {
      add(hugging_face_tensor(parameter, spec).name,
          {.dtype = "F32", .shape = Shape{int64_t{1} << 46}});
    }
  }

 private:
  std::span<const uint8_t> elements_of(const std::string&, const Entry&) const override {
    return {};
  }
};

TEST(HuggingFaceTest, TheShapeIsComparedBeforeAnythingIsRead) {
  const ModelSpec spec = testing::small_spec({AttentionKind::kLocal});
  try {
    read_hugging_face(BoastfulFile(spec), spec);
    ADD_FAILURE() << "accepted";
  } catch (const DataError& error) {
    expect_contains(error.what(), "word_embeddings.weight has the shape [70368744177664]");
  }
}

/// The tensors of a small model as a file holds them, changed.
class HuggingFaceFileTest : public ::testing::Test {
 protected:
  HuggingFaceFileTest() {
    const Tensor flat(DType::kFloat32, {flat_elements(spec_)});
    uint32_t index = 0;
    for (const ParameterInfo& parameter : list_parameters(spec_)) {
      const Tensor values = initial_values(parameter, index++, /*seed=*/5);
      std::memcpy(parameter.in(flat.view()).raw(), values.view().raw(), values.view().bytes());
    }
    tensors_ = to_hugging_face(spec_, flat.view());
  }

  StoredTensor& tensor(const std::string& name) {
    const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                    [&](const auto& tensor) { return tensor.name == name; });
    CHECK(found != tensors_.end());
    return *found;
  }

  void add(const std::string& name, float value, int64_t elements = 1) {
    tensors_.push_back({name, Tensor(DType::kFloat32, {elements})});
    std::fill_n(tensors_.back().values.data<float>(), elements, value);
  }

  /// What import_test.sh sees of the file: its unused tensors, or the error.
  std::string import() {
    const std::string path = directory_.path() + "/model.safetensors";
    write_safetensors(path, tensors_);
    try {
      const SafetensorsFile file(path);
      bias_ = read_hugging_face(file, spec_).data<float>()[list_parameters(spec_).back().offset];
      std::string unused;
      for (const std::string& name : list_unused(file, spec_)) unused += name + ";";
      return unused;
    } catch (const DataError& error) {
      return error.what();
    }
  }

  const ModelSpec spec_ = testing::small_spec({AttentionKind::kChunked, AttentionKind::kLocal});
  std::vector<StoredTensor> tensors_;
  const testing::TemporaryDirectory directory_;
  float bias_ = 0;  // first element of that of the head
};

TEST_F(HuggingFaceFileTest, TheBiasOfTheHeadHasTwoNames) {
  tensor("lm_head.bias").values.data<float>()[0] = 3;
  EXPECT_EQ(import(), "");
  EXPECT_EQ(bias_, 3);
  tensor("lm_head.bias").name = "lm_head.decoder.bias";
  EXPECT_EQ(import(), "");
  EXPECT_EQ(bias_, 3);
  add("lm_head.bias", 0, spec_.vocabulary);
  expect_contains(import(), "lm_head.bias and lm_head.decoder.bias should be the same and differ");
  tensor("lm_head.bias").values.data<float>()[0] = 3;
  EXPECT_EQ(import(), "");
  tensors_.pop_back();
  tensors_.pop_back();
  expect_contains(import(), "has no tensor lm_head.bias");
}

TEST_F(HuggingFaceFileTest, BothNamesOfTheBiasHaveThePrefix) {
  const std::string path = directory_.path() + "/prefixed.safetensors";
  const auto read = [&]() -> std::string {
    write_safetensors(path, tensors_);
    try {
      const Tensor flat = read_hugging_face(SafetensorsFile(path), spec_, "weight/");
      bias_ = flat.data<float>()[list_parameters(spec_).back().offset];
    } catch (const DataError& error) {
      return error.what();
    }
    return "";
  };
  tensor("lm_head.bias").values.data<float>()[0] = 3;
  tensor("lm_head.bias").name = "lm_head.decoder.bias";
  for (StoredTensor& tensor : tensors_) tensor.name = "weight/" + tensor.name;
  EXPECT_EQ(read(), "");
  EXPECT_EQ(bias_, 3);
  add("weight/lm_head.bias", 0, spec_.vocabulary);
  expect_contains(read(), "weight/lm_head.bias and weight/lm_head.decoder.bias should be the same");
  tensor("weight/lm_head.bias").name = "lm_head.bias";
  EXPECT_EQ(read(), "") << "another tensor, for which there is no use";
}

TEST_F(HuggingFaceFileTest, UnusedTensorsAreListedConstantsAreNot) {
  add("reformer.encoder.layers.0.attention.self_attention.mask_value_float16", -1e4f);
  add("reformer.encoder.layers.0.attention.self_attention.self_mask_value_float32", -1e5f);
  add("reformer.embeddings.position_ids", 0);
  EXPECT_EQ(import(), "");
  add("classifier.weight", 1);
  add("adapter", 1);
  EXPECT_EQ(import(), "adapter;classifier.weight;");
}

TEST_F(HuggingFaceFileTest, AWeightWithoutAPlaceIsRefused) {
  add("reformer.encoder.layers.2.attention.layer_norm.weight", 1);
  expect_contains(import(), "layers.2.attention.layer_norm.weight has no place in the model");
}

TEST_F(HuggingFaceFileTest, ValuesMustBeFinite) {
  const char* const name = "reformer.encoder.layers.1.feed_forward.dense.dense.bias";
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    tensor(name).values.data<float>()[1] = value;
    expect_contains(import(), std::string(name) + " has a value that is not finite");
  }
}

}  // namespace
}  // namespace reformer
