// The same numbers as Hugging Face's Reformer: logits, gradients, and ten steps of Adam, from the
// same weights, tokens and rotations. README.md in this folder says what the goldens are.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tests/trainer/model_testing.h"
#include "trainer/config/config.h"
#include "trainer/weights/hugging_face.h"
#include "trainer/weights/hugging_face_config.h"

namespace reformer {
namespace {

using testing::TestModel;

constexpr int64_t kSamples = 2;
constexpr int64_t kLength = 128;
constexpr int64_t kRows = kSamples * kLength;
constexpr int64_t kSteps = 10;
// Largest difference, relative to the largest value of a tensor.
constexpr double kTolerance = 2e-5;

struct GoldenCase {
  const char* name;
  std::vector<AttentionKind> layers;
  int64_t rounds = 1;
  std::vector<int64_t> buckets = {8};
};

std::ostream& operator<<(std::ostream& out, const GoldenCase& golden) {
  return out << golden.name;
}

/// The model as `reformer import` makes it of the library's own description.
ModelSpec spec_of(const GoldenCase& golden) {
  nlohmann::json library = {{"model_type", "reformer"},
                            {"is_decoder", true},
                            {"vocab_size", 40},
                            {"hidden_size", 32},
                            {"feed_forward_size", 48},
                            {"num_attention_heads", 2},
                            {"attention_head_size", 16},
                            {"max_position_embeddings", kLength},
                            {"axial_pos_shape", {8, 16}},
                            {"axial_pos_embds_dim", {8, 24}},
                            {"lsh_attn_chunk_length", 16},
                            {"local_attn_chunk_length", 16},
                            {"num_hashes", golden.rounds},
                            {"num_buckets", golden.buckets},
                            {"hidden_dropout_prob", 0},
                            {"layer_norm_eps", 1e-5},
                            {"local_attention_probs_dropout_prob", 0}};
  for (const AttentionKind kind : golden.layers) {
    library["attn_layers"].push_back(kind == AttentionKind::kLocal ? "local" : "lsh");
  }
  config::Run run;
  *run.mutable_model() = read_hugging_face_config(library.dump(), golden.name).model;
  return parse_config(
             to_text(run), golden.name,
             {"data.source=DUPLICATION", "data.symbols=39", fmt::format("data.length={}", kLength),
              "model.streams=FLOAT32", "execution.leaf_tokens=128"})
      .model;
}

/// Largest |actual − expected| over the chosen elements, relative to the largest |expected|.
class RelativeError {
 public:
  void compare(double actual, double expected) {
    difference_ = std::max(difference_, std::abs(actual - expected));
    largest_ = std::max(largest_, std::abs(expected));
  }
  double value() const { return largest_ == 0 ? difference_ : difference_ / largest_; }

 private:
  double difference_ = 0;
  double largest_ = 0;
};

class GoldenTest : public ::testing::TestWithParam<GoldenCase> {
 protected:
  GoldenTest()
      : file_(fmt::format("tests/golden/{}.safetensors", GetParam().name)),
        model_(spec_of(GetParam())),
        tokens_(file_.read("tokens", DType::kInt32)),
        mask_(file_.read("mask", DType::kUint8)),
        labels_(DType::kInt32, {kRows}) {
    const Tensor weights = read_hugging_face(file_, model_.spec, "weight/");
    std::memcpy(model_.parameters.view().raw(), weights.view().raw(), weights.view().bytes());
    for (int64_t row = 0; row < kRows; ++row) {
      const bool last = row % kLength == kLength - 1;
      const bool counts = !last && mask_.data<uint8_t>()[row + 1] != 0;
      labels_.data<int32_t>()[row] = counts ? tokens_.data<int32_t>()[row + 1] : kIgnoredLabel;
      valid_labels_ += counts;
    }
  }

  /// The rotations that step `step` drew, by layer.
  std::vector<Tensor> rotations_of(int64_t step) const {
    std::vector<Tensor> rotations(model_.spec.layers.size());
    int drawn = 0;
    for (size_t layer = 0; layer < rotations.size(); ++layer) {
      const AttentionPattern& pattern = model_.spec.layers[layer].attention;
      if (!is_hashed(pattern.kind)) continue;
      const Tensor values =
          file_.read(fmt::format("rotations/{}/{}", step, drawn++), DType::kFloat32);
      const Shape& shape = values.shape();  // [H, D, R, columns]
      rotations[layer] = Tensor(DType::kFloat32, {shape[0], shape[1], shape[2] * shape[3]});
      std::memcpy(rotations[layer].view().raw(), values.view().raw(), values.view().bytes());
    }
    return rotations;
  }

  Pass pass_with(const std::vector<Tensor>& rotations) const {
    Pass pass = model_.pass(kSamples, kLength);
    pass.rotations = rotations;
    const uint8_t* const mask = mask_.data<uint8_t>();
    if (std::count(mask, mask + kRows, 0) > 0) pass.mask = mask_.view();
    return pass;
  }

  View flat(const Tensor& tensor) const { return tensor.view().reshape({tensor.elements()}); }

  /// Loss and gradients of one step.
  double accumulate(const Pass& pass) {
    model_.loss.data<int64_t>()[0] = 0;
    model_.backend->fill_zero(model_.gradients.view());
    Reformer(model_.spec, model_.parameters.view())
        .accumulate_gradients(pass, flat(tokens_), labels_.view(),
                              {.scale = 1.0 / static_cast<double>(valid_labels_),
                               .loss = model_.loss.view(),
                               .correct = model_.correct.view()},
                              model_.gradients.view());
    return model_.loss_value();
  }

  SafetensorsFile file_;
  TestModel model_;
  Tensor tokens_;
  Tensor mask_;
  Tensor labels_;
  int64_t valid_labels_ = 0;
};

TEST_P(GoldenTest, Logits) {
  const std::vector<Tensor> rotations = rotations_of(0);
  const Tensor logits(DType::kFloat32, {kRows, model_.spec.vocabulary});
  Reformer(model_.spec, model_.parameters.view())
      .logits(pass_with(rotations), flat(tokens_), logits.view());
  const Tensor expected = file_.read("logits", DType::kFloat32);
  RelativeError error;
  for (int64_t i = 0; i < logits.elements(); ++i) {
    const bool padding = mask_.data<uint8_t>()[i / model_.spec.vocabulary] == 0;
    if (!padding) error.compare(logits.data<float>()[i], expected.data<float>()[i]);
  }
  fmt::print("{}: logits differ by {:.1e}\n", GetParam().name, error.value());
  EXPECT_LT(error.value(), kTolerance);
}

TEST_P(GoldenTest, EveryGradient) {
  const std::vector<Tensor> rotations = rotations_of(0);
  accumulate(pass_with(rotations));
  const Tensor expected = read_hugging_face(file_, model_.spec, "gradient/");
  double worst = 0;
  for (const ParameterInfo& parameter : list_parameters(model_.spec)) {
    const View actual_values = parameter.in(model_.gradients.view());
    const View expected_values = parameter.in(expected.view());
    RelativeError error;
    for (int64_t i = 0; i < actual_values.elements(); ++i) {
      error.compare(static_cast<double>(actual_values.data<int64_t>()[i]) * kSumStep,
                    expected_values.data<float>()[i]);
    }
    EXPECT_LT(error.value(), kTolerance) << parameter.name;
    worst = std::max(worst, error.value());
  }
  fmt::print("{}: gradients differ by {:.1e}\n", GetParam().name, worst);
}

TEST_P(GoldenTest, TheLossesOfTenStepsOfAdam) {
  const Tensor expected = file_.read("losses", DType::kFloat64);
  const Tensor m(DType::kFloat32, model_.parameters.shape());
  const Tensor v(DType::kFloat32, model_.parameters.shape());
  RelativeError error;
  for (int64_t step = 0; step < kSteps; ++step) {
    const std::vector<Tensor> rotations = rotations_of(step);
    error.compare(accumulate(pass_with(rotations)), expected.data<double>()[step]);
    model_.backend->adamw({.parameter = model_.parameters.view(),
                           .gradient = model_.gradients.view(),
                           .m = m.view(),
                           .v = v.view(),
                           .step = step + 1,
                           .rate = 1e-3f,
                           .beta1 = 0.9f,
                           .beta2 = 0.98f,
                           .epsilon = 1e-9f});
  }
  fmt::print("{}: losses differ by {:.1e}\n", GetParam().name, error.value());
  EXPECT_LT(error.value(), kTolerance);
}

constexpr AttentionKind kLsh = AttentionKind::kChunked;
constexpr AttentionKind kLocal = AttentionKind::kLocal;

INSTANTIATE_TEST_SUITE_P(
    HuggingFace, GoldenTest,
    ::testing::Values(GoldenCase{.name = "lsh_1_round", .layers = {kLsh}},
                      GoldenCase{.name = "lsh_4_rounds", .layers = {kLsh}, .rounds = 4},
                      GoldenCase{
                          .name = "lsh_factored", .layers = {kLsh}, .rounds = 2, .buckets = {2, 4}},
                      GoldenCase{.name = "local", .layers = {kLocal}},
                      GoldenCase{.name = "mixed", .layers = {kLocal, kLsh, kLocal}, .rounds = 2},
                      GoldenCase{.name = "padded", .layers = {kLocal, kLsh}, .rounds = 2}),
    [](const auto& parameters) { return parameters.param.name; });

}  // namespace
}  // namespace reformer
