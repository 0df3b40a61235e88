// Every way in which a configuration can be wrong, and the exact line that says so.
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>

#include "tests/trainer/config_testing.h"

namespace reformer {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using testing::error_after_data;
using testing::error_of;
using testing::kSmallest;

// ---- text ------------------------------------------------------------------------------------

constexpr const char* kSyntax = ", legal: NAME: VALUE or NAME { ... }";

TEST(ConfigText, UnknownFields) {
  const std::string top =
      ", legal: model, data, training, optimizer, evaluation, checkpoint, execution, parallel";
  EXPECT_EQ(error_of("\ncheckpoint {\n  evry: 4\n}"),
            "t.txtpb:3: checkpoint.evry: unknown field (did you mean checkpoint.every?), legal: "
            "every, keep");
  EXPECT_EQ(error_of("checkpoint { brightness: 4 }"),
            "t.txtpb:1: checkpoint.brightness: unknown field, legal: every, keep");
  EXPECT_EQ(error_of("checkpoint { weight_decay: 4 }"),
            "t.txtpb:1: checkpoint.weight_decay: unknown field (did you mean "
            "optimizer.weight_decay?), legal: every, keep");
  EXPECT_EQ(error_of("layers: 4"),
            "t.txtpb:1: layers: unknown field (did you mean model.layers?)" + top);
  EXPECT_EQ(error_of("modle {\n}"), "t.txtpb:1: modle: unknown field (did you mean model?)" + top);
  EXPECT_EQ(error_of("modle\n\n{ }"),
            "t.txtpb:1: modle: unknown field (did you mean model?)" + top);
  EXPECT_EQ(error_of("checkpoint { } x"), "t.txtpb:1: x: unknown field" + top);
}

TEST(ConfigText, BadValues) {
  const std::string layers = ", legal: whole numbers from 1 to 1024";
  EXPECT_EQ(error_of("model {\n  layers: four\n}"),
            "t.txtpb:2: model.layers: bad value four" + layers);
  EXPECT_EQ(error_of("model {\n  layers:\n\n  four\n}"),
            "t.txtpb:4: model.layers: bad value four" + layers);
  EXPECT_EQ(error_of("model { layers: 4.0 }"), "t.txtpb:1: model.layers: bad value 4.0" + layers);
  EXPECT_EQ(error_of("model { layers: \"4\" }"),
            "t.txtpb:1: model.layers: bad value \"4\"" + layers);
  EXPECT_EQ(error_of("model { layers: [4] }"), "t.txtpb:1: model.layers: bad value [" + layers);
  EXPECT_EQ(error_of("model { layers: -x }"), "t.txtpb:1: model.layers: bad value x" + layers);
  EXPECT_EQ(error_of("model { layers: 99999999999999999999 }"),
            "t.txtpb:1: model.layers: bad value 99999999999999999999" + layers);
  EXPECT_EQ(error_of("model { layers: "), "t.txtpb:1: model.layers: a value is missing" + layers);
  EXPECT_EQ(error_of("training { seed: -1 }"),
            "t.txtpb:1: training.seed: bad value -1, legal: whole numbers from 0 to "
            "18446744073709551615");
  EXPECT_EQ(error_of("model { dropout: some }"),
            "t.txtpb:1: model.dropout: bad value some, legal: numbers of at least 0 and at most "
            "0.99");
  EXPECT_EQ(error_of("data { path: novel.txt }"),
            "t.txtpb:1: data.path: bad value novel, legal: text in quotes");
  EXPECT_EQ(error_of("checkpoint: 5"),
            "t.txtpb:1: checkpoint: bad value 5, legal: { } around any of every, keep");
  EXPECT_EQ(error_of("model { lsh { buckets: [4,\n x] } }"),
            "t.txtpb:2: model.lsh.buckets: bad value x, legal: whole numbers from 2 to 65536");
}

TEST(ConfigText, BadWords) {
  EXPECT_EQ(error_of("model {\n  activation: TANH\n  heads: 3\n}"),
            "t.txtpb:2: model.activation: bad value TANH, legal: RELU, GELU");
  EXPECT_EQ(error_of("model { activation: TANH"),
            "t.txtpb:1: model.activation: bad value TANH, legal: RELU, GELU");
  EXPECT_EQ(error_of("model { activation: \"GELU\" }"),
            "t.txtpb:1: model.activation: bad value \"GELU\", legal: RELU, GELU");
  EXPECT_EQ(error_of("model { activation: 7 }"),
            "t.txtpb:1: model.activation: bad value 7, legal: RELU, GELU");
  EXPECT_EQ(error_of("model { attention_pattern: [LSH, lsh] }"),
            "t.txtpb:1: model.attention_pattern: bad value lsh, legal: LSH, LOCAL, FULL");
  EXPECT_EQ(error_of("model { lsh { correct_duplicates: maybe } }"),
            "t.txtpb:1: model.lsh.correct_duplicates: bad value maybe, legal: true, false");
  EXPECT_EQ(error_of("model { lsh { correct_duplicates: 2 } }"),
            "t.txtpb:1: model.lsh.correct_duplicates: bad value 2, legal: true, false");
}

TEST(ConfigText, GivenTwice) {
  EXPECT_EQ(error_of("model {\n  layers: 4\n  heads: 2\n  layers: 4\n}"),
            "t.txtpb:4: model.layers: given twice, legal: once");
  EXPECT_EQ(error_of("checkpoint { }\ncheckpoint { }"),
            "t.txtpb:2: checkpoint: given twice, legal: once");
}

TEST(ConfigText, SyntaxErrors) {
  EXPECT_EQ(error_of("model { layers 4 }"),
            std::string("t.txtpb:1: model.layers: Expected \":\", found \"4\"") + kSyntax);
  EXPECT_EQ(error_of("model { layers: 4 5 }"),
            std::string("t.txtpb:1: model.layers: Expected identifier, got: 5") + kSyntax);
  EXPECT_EQ(error_of("model { activation: GELU 5 }"),
            std::string("t.txtpb:1: model.activation: Expected identifier, got: 5") + kSyntax);
  EXPECT_EQ(error_of("checkpoint { }\n}"),
            std::string("t.txtpb:2: Expected identifier, got: }") + kSyntax);
  EXPECT_EQ(error_of("model {\n  lsh {\n    rounds: 2\n"),
            "t.txtpb:4: model.lsh: the file ends inside this message, legal: }");
  EXPECT_EQ(error_of("[foo.bar]: 3"),
            std::string("t.txtpb:1: Extension \"foo.bar\" is not defined or is not an extension of "
                        "\"reformer.config.Run\"") +
                kSyntax);
  EXPECT_EQ(
      error_of("data { path: \"novel\n }"),
      std::string("t.txtpb:1: data.path: String literals cannot cross line boundaries") + kSyntax);
  EXPECT_EQ(error_of("model { layers\x01: 4 }"),
            std::string("t.txtpb:1: model.layers: Invalid control characters encountered in text") +
                kSyntax);
  EXPECT_EQ(error_of("\x01"),
            std::string("t.txtpb:1: Invalid control characters encountered in text") + kSyntax);
}

/// Every prefix of a text and every text with one character changed parses or gives one line.
TEST(ConfigText, MutationsGiveOneLineAndPrintNothing) {
  const std::string text =
      "# c\nmodel { layers: 4, dropout: 1e-1 attention_pattern: [LSH, LOCAL]\n lsh: < rounds: 2 > "
      "}\ndata { path: \"a\" 'b'; train { end: 0x10 } validation { begin: 16 } }";
  ASSERT_EQ(error_of(text), "accepted");
  int refused = 0;
  const auto check = [&refused](const std::string& mutation) {
    const std::string error = error_of(mutation);
    if (error == "accepted") return;
    ++refused;
    EXPECT_TRUE(error.starts_with("t.txtpb")) << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  };
  ::testing::internal::CaptureStderr();
  for (size_t i = 0; i < text.size(); ++i) {
    check(text.substr(0, i));
    for (const char c :
         {'{', '}', '<', '>', '[', ']', ':', '"', '#', '-', '\0', '\xff', 'x', '7'}) {
      std::string mutation = text;
      mutation[i] = c;
      check(mutation);
      mutation.insert(i, 1, text[i]);
      check(mutation);
    }
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  EXPECT_GT(refused, 1000);
}

// ---- limits ----------------------------------------------------------------------------------

/// One bad value for each number in the schema, as text, with the path it has.
struct OutOfRange {
  std::string path;
  std::string value;
};

void add_number(const FieldDescriptor& field, const std::string& path,
                std::vector<OutOfRange>* cases) {
  const config::Limits& limits = field.options().GetExtension(config::limits);
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_INT64) {
    ASSERT_TRUE(limits.has_min()) << path << " has no limits";
    cases->push_back({path, fmt::format("{}", static_cast<int64_t>(limits.min()) - 1)});
    if (limits.has_max()) {
      cases->push_back({path, fmt::format("{}", static_cast<int64_t>(limits.max()) + 1)});
    }
    return;
  }
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  ASSERT_TRUE(limits.has_min()) << path << " has no limits";
  const double below = limits.above_min() ? limits.min() : std::nextafter(limits.min(), -kInfinity);
  cases->push_back({path, fmt::format("{}", below)});
  if (limits.has_max()) {
    const double above =
        limits.below_max() ? limits.max() : std::nextafter(limits.max(), kInfinity);
    cases->push_back({path, fmt::format("{}", above)});
  }
  for (const char* value : {"nan", "inf", "-inf"}) cases->push_back({path, value});
}

void add_numbers(const Descriptor& message, const std::string& prefix,
                 std::vector<OutOfRange>* cases) {
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    const std::string path = prefix + field.name();
    if (field.message_type() != nullptr) {
      add_numbers(*field.message_type(), path + ".", cases);
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_INT64 ||
               field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
      add_number(field, path, cases);
    }
  }
}

TEST(ConfigLimits, HoldForEveryNumberOfTheSchema) {
  std::vector<OutOfRange> cases;
  add_numbers(*config::Run::descriptor(), "", &cases);
  EXPECT_GT(cases.size(), 80u);
  for (const auto& [path, value] : cases) {
    const std::string argument = path + "=" + value;
    const std::string error = error_of(kSmallest, {argument});
    EXPECT_TRUE(error.starts_with("--set " + argument + ": " + value + " is out of range, legal: "))
        << error;
  }
}

TEST(ConfigLimits, PointAtTheLine) {
  EXPECT_EQ(error_after_data("model {\n  layers: 0\n}"),
            "t.txtpb:3: model.layers: 0 is out of range, legal: whole numbers from 1 to 1024");
  EXPECT_EQ(
      error_after_data("model { lsh { buckets: 4\n buckets: 70000 } }"),
      "t.txtpb:3: model.lsh.buckets[1]: 70000 is out of range, legal: whole numbers from 2 to "
      "65536");
  EXPECT_EQ(error_after_data("training { clip_norm: -1 }"),
            "t.txtpb:2: training.clip_norm: -1 is out of range, legal: numbers of at least 0");
  EXPECT_EQ(error_after_data("training { schedule { rate: 0 } }"),
            "t.txtpb:2: training.schedule.rate: 0 is out of range, legal: numbers above 0 and at "
            "most 1000");
  EXPECT_EQ(error_of("data { path: \"a\" validation_share: 1 }"),
            "t.txtpb:1: data.validation_share: 1 is out of range, legal: numbers above 0 and below "
            "1");
  EXPECT_EQ(error_of("data { path: \"a\" train { begin: -1 } }"),
            "t.txtpb:1: data.train.begin: -1 is out of range, legal: whole numbers of at least 0");
  EXPECT_EQ(
      error_after_data("model { dropout: 1e400 }"),
      "t.txtpb:2: model.dropout: inf is out of range, legal: numbers of at least 0 and at most "
      "0.99");
}

// ---- fields that have no effect --------------------------------------------------------------

TEST(ConfigRules, FieldsWithoutEffect) {
  const auto inert = [](const std::string& path, const std::string& reason) {
    return fmt::format("t.txtpb:2: {}: has no effect, since {}, legal: leave it out", path, reason);
  };
  const std::string no_lsh = "no layer of model.attention_pattern is LSH";
  EXPECT_EQ(error_after_data("model { attention_pattern: [LOCAL, FULL] lsh { rounds: 1 } }"),
            inert("model.lsh", no_lsh));
  EXPECT_EQ(error_after_data("model { attention_pattern: [FULL] lsh { } }"),
            inert("model.lsh", no_lsh));
  EXPECT_EQ(error_after_data("model { layers: 1 attention_pattern: [FULL, LSH] lsh { } }"),
            inert("model.lsh", no_lsh));
  EXPECT_EQ(error_after_data("model { local { chunk_length: 8 } }"),
            inert("model.local", "no layer of model.attention_pattern is LOCAL"));
  EXPECT_EQ(error_after_data("model { positions { kind: NONE shape: 2000 } }"),
            inert("model.positions.shape", "model.positions.kind is NONE"));
  EXPECT_EQ(error_after_data("model { positions { kind: LEARNED widths: 256 } }"),
            inert("model.positions.widths", "model.positions.kind is LEARNED"));
  EXPECT_EQ(error_after_data("training { schedule { kind: RSQRT final_rate: 0 } }"),
            inert("training.schedule.final_rate", "training.schedule.kind is RSQRT"));
  EXPECT_EQ(error_after_data("training { schedule { kind: CONSTANT final_rate: 0 } }"),
            inert("training.schedule.final_rate", "training.schedule.kind is CONSTANT"));
  EXPECT_EQ(error_after_data("optimizer { adafactor { clip: 2 } }"),
            inert("optimizer.adafactor", "optimizer.kind is ADAMW"));
  EXPECT_EQ(error_after_data("optimizer { kind: ADAFACTOR adamw { beta1: 0 } }"),
            inert("optimizer.adamw", "optimizer.kind is ADAFACTOR"));
}

// ---- values that contradict each other -------------------------------------------------------

TEST(ConfigRules, Heads) {
  EXPECT_EQ(error_after_data("model {\n  heads: 3\n}"),
            "t.txtpb:3: model.heads: model.width 256 is not a multiple of model.heads 3, legal: "
            "multiples of 3, or model.head_width given");
  EXPECT_EQ(error_after_data("model { heads: 3 head_width: 64 }"), "accepted");
}

TEST(ConfigRules, Lengths) {
  EXPECT_EQ(error_after_data("model { max_length: 1023 }"),
            "t.txtpb:2: model.max_length: data.length 1024 exceeds model.max_length 1023, legal: "
            "data.length from 2 to 1023, or a larger model.max_length");
  EXPECT_EQ(error_after_data("model { max_length: 1024 }"), "accepted");
}

TEST(ConfigRules, Buckets) {
  EXPECT_EQ(error_after_data("model { lsh {\n buckets: [4, 7] } }"),
            "t.txtpb:3: model.lsh.buckets[1]: 7 is odd, legal: even numbers from 2 to 65536");
  EXPECT_EQ(
      error_after_data("model { lsh { buckets: [65536, 32768] } }"),
      "t.txtpb:2: model.lsh.buckets: the product of the factors is too large, legal: products "
      "from 2 to 2147483645");
  EXPECT_EQ(
      error_after_data("model { lsh { buckets: [65536, 65536, 65536, 65536, 2] } }"),
      "t.txtpb:2: model.lsh.buckets: the product of the factors is too large, legal: products "
      "from 2 to 2147483645");
  EXPECT_EQ(error_after_data("model { lsh { buckets: [65536, 32766] } }"), "accepted");
}

TEST(ConfigRules, StrictIsCausal) {
  EXPECT_EQ(error_after_data("model { lsh { bidirectional: true } }"),
            "t.txtpb:2: model.lsh.bidirectional: true contradicts model.lsh.mode STRICT, legal: "
            "false, or model.lsh.mode: CHUNKED");
  EXPECT_EQ(error_after_data("model { lsh { bidirectional: false same_bucket_only: false } }"),
            "accepted");
  EXPECT_EQ(error_after_data("model { lsh { mode: CHUNKED bidirectional: true } }"), "accepted");
}

TEST(ConfigRules, AxialPositions) {
  const auto error = [](const std::string& positions) {
    return error_after_data("model { positions { " + positions + " } }");
  };
  EXPECT_EQ(error("shape: [32, 32] widths: 256"),
            "t.txtpb:2: model.positions.widths: given for 1 axes, but model.positions.shape has 2, "
            "legal: "
            "one width for each axis");
  EXPECT_EQ(error("shape: [8, 8, 16]"),
            "t.txtpb:2: model.positions.shape: 3 axes, and model.positions.widths is empty, legal: "
            "at most 2 axes, or a width for each");
  EXPECT_EQ(error("widths: [64, 64, 128]"),
            "t.txtpb:2: model.positions.widths: 3 axes, and model.positions.shape is empty, legal: "
            "at most 2 axes, or an extent for each");
  EXPECT_EQ(error("widths: [64, 191]"),
            "t.txtpb:2: model.positions.widths: model.positions.widths add up to 255, but "
            "model.width is 256, legal: widths that add up to 256");
  EXPECT_EQ(error("shape: [31, 33]"),
            "t.txtpb:2: model.positions.shape: model.positions.shape has 1023 positions, but the "
            "longest sequence 1024, legal: extents whose product is at least 1024");
  EXPECT_EQ(error("shape: [16777216, 16777216, 16777216] widths: [1, 1, 254]"), "accepted");
  EXPECT_EQ(error("shape: [1, 1023, 16777216] widths: [1, 1, 254]"), "accepted");
  EXPECT_EQ(error_after_data("model { width: 1 heads: 1 positions { shape: [32, 32] } }"),
            "t.txtpb:2: model.positions.shape: model.width 1 cannot be divided over 2 axes, legal: "
            "no more axes than model.width");
}

TEST(ConfigRules, LshQueriesNeedALayerThatHashes) {
  EXPECT_EQ(error_after_data("model { attention_pattern: LOCAL }\nevaluation { lsh_queries: 4 }"),
            "t.txtpb:3: evaluation.lsh_queries: has no effect, since no layer of "
            "model.attention_pattern is LSH, legal: leave it out");
}

TEST(ConfigRules, Stride) {
  EXPECT_EQ(
      error_of("data { path: \"a\" length: 64 }\nevaluation { stride: 65 }"),
      "t.txtpb:2: evaluation.stride: evaluation.stride 65 leaves tokens out between sequences "
      "of 64, legal: at most data.length");
  EXPECT_EQ(error_of("data { path: \"a\" length: 64 }\nevaluation { stride: 64 }"), "accepted");
  EXPECT_EQ(error_of("data { source: DUPLICATION }\nevaluation { stride: 64 }"),
            "t.txtpb:2: evaluation.stride: has no effect, since data.source is DUPLICATION, legal: "
            "leave it out");
}

TEST(ConfigRules, Training) {
  EXPECT_EQ(error_after_data("training { batch: 8\n micro_batch: 3 }"),
            "t.txtpb:3: training.micro_batch: training.batch 8 is not a multiple of "
            "training.micro_batch 3, legal: divisors of 8, or 0");
  EXPECT_EQ(error_after_data("training { steps: 99 }"),
            "t.txtpb:2: training.steps: training.schedule.warmup 100 exceeds training.steps 99, "
            "legal: at most 99 for COSINE");
  EXPECT_EQ(error_after_data("training { steps: 9 schedule { kind: LINEAR warmup: 10 } }"),
            "t.txtpb:2: training.schedule.warmup: training.schedule.warmup 10 exceeds "
            "training.steps 9, legal: at most 9 for LINEAR");
  EXPECT_EQ(error_after_data("training { schedule { final_rate: 0.1 } }"),
            "t.txtpb:2: training.schedule.final_rate: training.schedule.final_rate 0.1 exceeds "
            "training.schedule.rate 0.001, legal: at most 0.001");
  EXPECT_EQ(error_after_data("training { steps: 9 schedule { kind: RSQRT } }"), "accepted");
  EXPECT_EQ(error_after_data("training { steps: 9 schedule { kind: CONSTANT } }"), "accepted");
  EXPECT_EQ(error_after_data("training { steps: 100 schedule { final_rate: 1e-3 } }"), "accepted");
}

TEST(ConfigRules, Leaves) {
  EXPECT_EQ(error_after_data("execution { leaf_tokens: 200 }"),
            "t.txtpb:2: execution.leaf_tokens: 200 is not a multiple of 128, legal: multiples of "
            "128");
  EXPECT_EQ(error_after_data("execution { leaf_tokens: 384 }"), "accepted");
  EXPECT_EQ(error_after_data("execution { device: CPU compute: BFLOAT16 }"),
            "t.txtpb:2: execution.compute: the CPU does not compute in BFLOAT16, legal: BY_DEVICE "
            "or FLOAT32, or execution.device CUDA");
  EXPECT_EQ(error_after_data("execution { device: CUDA compute: BFLOAT16 }"), "accepted");
}

TEST(ConfigRules, RanksThatShareSequences) {
  const std::string model = "data { path: \"a\" length: 4000 }\nmodel { heads: 4 }\n";
  const auto error = [&](const std::string& parallel) {
    return error_of(model + "parallel { " + parallel + " }");
  };
  EXPECT_EQ(error("sequence: 4 data: 3"), "accepted");
  EXPECT_EQ(error("sequence: 5"),
            "t.txtpb:3: parallel.sequence: a sequence cannot be shared by 5 ranks "
            "(parallel.sequence), legal: at most 4, one for each leaf of execution.leaf_tokens");
  EXPECT_EQ(error("sequence: 4 heads: 4"), "accepted");
  EXPECT_EQ(error("heads: 3"), "accepted");
  EXPECT_EQ(error("heads: 5"),
            "t.txtpb:3: parallel.heads: 5 ranks cannot share 4 heads, legal: at most model.heads");
  EXPECT_EQ(error("sequence: 4 heads: 3"),
            "t.txtpb:3: parallel.heads: parallel.sequence 4 is not a multiple of parallel.heads 3, "
            "legal: divisors of 4, or 0");
}

TEST(ConfigRules, RanksThatShareTheHeadsOfFullLayers) {
  const auto error = [](const std::string& model) {
    return error_of("data { path: \"a\" length: 4096 }\nmodel { heads: 2 " + model +
                    " }\nparallel { sequence: 4 }");
  };
  EXPECT_EQ(error(""), "accepted");
  const std::string refused =
      "t.txtpb:3: parallel.sequence: a sequence cannot be shared by 4 ranks (parallel.sequence), "
      "legal: at most 2, one for each of model.heads (a layer is FULL)";
  EXPECT_EQ(error("attention_pattern: [LSH, FULL]"), refused);
  // Asked as LSH, and too short for it.
  EXPECT_EQ(error("lsh { full_up_to: 4096 }"), refused);
  EXPECT_EQ(error("lsh { full_up_to: 4095 }"), "accepted");
}

TEST(ConfigRules, SharedHeadsNeedALayerThatHashes) {
  EXPECT_EQ(error_after_data("model { attention_pattern: LOCAL }\nparallel { heads: 2 }"),
            "t.txtpb:3: parallel.heads: has no effect, since no layer of model.attention_pattern "
            "is LSH, legal: leave it out");
}

}  // namespace
}  // namespace reformer
