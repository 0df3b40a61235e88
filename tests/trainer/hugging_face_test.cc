// Where every parameter is kept in the files of Hugging Face, and how it is read.
#include "trainer/weights/hugging_face.h"

#include <algorithm>
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
