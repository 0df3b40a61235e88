// The configuration as a whole: files, what is resolved, and the way back to text.
#include "trainer/config/config.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/trainer/config_testing.h"
#include "trainer/config/resolve.h"

namespace reformer {
namespace {

using testing::descriptions;
using testing::expect_round_trip;
using testing::kSmallest;
using testing::parse;
using testing::text_of;

constexpr const char* kSmallestDuplication = "data { source: DUPLICATION }\n";

/// A new empty folder, removed with all that is in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "config_test_XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string file(const std::string& name, const std::string& content) const {
    std::ofstream((path_ / name).string()) << content;
    return (path_ / name).string();
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

std::string load_error(const std::string& path) {
  try {
    load_config(path, {});
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ConfigFile, IsRefusedWhenItIsNone) {
  const std::string legal = ", legal: a file in Protobuf text format, such as configs/demo.txtpb";
  const TemporaryFolder folder;
  const std::string missing = folder.path() + "/missing.txtpb";
  EXPECT_EQ(load_error(missing), missing + ": no such file" + legal);
  EXPECT_EQ(load_error(folder.path()), folder.path() + ": is a directory" + legal);
  EXPECT_EQ(load_error("/dev/null"), "/dev/null: is not a file" + legal);

  const std::string empty = folder.file("empty.txtpb", " \n\t\n");
  EXPECT_EQ(load_error(empty), empty + ": is empty" + legal);
  const std::string large = folder.file("large.txtpb", std::string((1 << 20) + 1, '#'));
  EXPECT_EQ(load_error(large), large + ": is larger than 1 MiB" + legal);
  const std::string below = empty + "/below.txtpb";
  EXPECT_EQ(load_error(below), below + ": no such file" + legal);
}

TEST(ConfigFile, UnreadableIsRefused) {
  const TemporaryFolder folder;
  const std::string path = folder.file("secret.txtpb", kSmallest);
  std::filesystem::permissions(path, std::filesystem::perms::none);
  if (std::ifstream(path).is_open()) GTEST_SKIP() << "this user may read every file";
  EXPECT_EQ(load_error(path), path +
                                  ": cannot be read: Permission denied, legal: a file in Protobuf "
                                  "text format, such as configs/demo.txtpb");
}

TEST(ConfigFile, DataPathStartsAtTheFolderOfTheFile) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() + "/configs");
  const std::string path = folder.file("configs/run.txtpb", "data { path: \"../data/novel.txt\" }");
  const std::string base = std::filesystem::canonical(folder.path()).string();
  const RunConfig config = load_config(path, {});
  EXPECT_EQ(config.path, path);
  EXPECT_EQ(config.run.data().path(), base + "/data/novel.txt");
  EXPECT_EQ(load_config(path, {"data.path=/a/b"}).run.data().path(), "/a/b");

  // "link/.." is the parent of what the link points to.
  std::filesystem::create_directory_symlink(folder.path() + "/configs", folder.path() + "/link");
  EXPECT_EQ(load_config(folder.path() + "/link/run.txtpb", {}).run.data().path(),
            base + "/data/novel.txt");
}

TEST(ConfigResolve, WritesEveryDefault) {
  const config::Run run = parse(kSmallest).run;
  EXPECT_EQ(run.data().path(), std::filesystem::current_path().string() + "/novel.txt");
  config::Run rest = run;
  rest.mutable_data()->set_path("/novel.txt");
  EXPECT_EQ(to_text(rest), R"(model {
  vocabulary: 256
  width: 256
  ff_width: 1024
  heads: 4
  head_width: 64
  layers: 6
  attention_pattern: [LSH]
  activation: RELU
  layer_norm_epsilon: 1e-05
  dropout: 0
  attention_dropout: 0
  streams: FIXED32
  max_length: 1024
  lsh {
    mode: STRICT
    rounds: 2
    chunk_length: 64
    buckets: [16]
    correct_duplicates: false
    bidirectional: false
    full_up_to: 0
  }
  positions {
    kind: AXIAL
    shape: [32, 32]
    widths: [64, 192]
  }
}
data {
  source: BYTES
  path: "/novel.txt"
  validation_share: 0.1
  length: 1024
  byte_offset: 0
}
training {
  seed: 1
  steps: 1000
  batch: 8
  micro_batch: 8
  schedule {
    kind: COSINE
    rate: 0.001
    warmup: 100
    final_rate: 0
  }
  clip_norm: 1
  max_skipped: 5
  spike_factor: 0
}
optimizer {
  kind: ADAMW
  weight_decay: 0.01
  adamw {
    beta1: 0.9
    beta2: 0.98
    epsilon: 1e-09
  }
}
evaluation {
  every: 250
  sequences: 16
  micro_batch: 8
  seed: 7
  lsh_queries: 4
  stride: 0
}
checkpoint {
  every: 500
  keep: 2
}
execution {
  threads: 0
  activations: RECONSTRUCT
  sums: EXACT
  leaf_tokens: 1024
  ranks: 0
  timeout_seconds: 600
  device: AUTO
  compute: BY_DEVICE
}
parallel {
  data: 0
  sequence: 0
  heads: 0
}
)");
}

TEST(ConfigResolve, TheModelFollowsTheRun) {
  const RunConfig config = parse(R"(
model {
  vocabulary: 300 width: 12 ff_width: 20 heads: 3 head_width: 5 layers: 5
  attention_pattern: [LSH, LOCAL, FULL] activation: GELU layer_norm_epsilon: 0.25
  dropout: 0.5 attention_dropout: 0.125 streams: FLOAT32 max_length: 600
  lsh { rounds: 3 chunk_length: 20 buckets: [4, 6] correct_duplicates: true }
  local { chunk_length: 30 }
  positions { shape: [10, 10, 6] widths: [3, 4, 5] }
}
data { path: "/novel.txt" length: 500 train { end: 50 } validation { begin: 50 } }
execution { activations: STORE sums: SUM_FLOAT32 leaf_tokens: 256 }
)");
  EXPECT_EQ(text_of(config.model),
            "vocabulary 300 width 12 ff 20 length 600 activation 1 epsilon 0.25 dropout 0.5 0.125 "
            "stream float32 store true exact false leaf 256 tile 128\n"
            "axis 10 x 3\naxis 10 x 4\naxis 6 x 5\n"
            "LSH STRICT, 3 rounds, 24 buckets (4 x 6), chunk 20, duplicates corrected; kind 0 "
            "causal true heads 3 x 5 rounds 3 chunk 20 same false corr true 4 6\n"
            "LOCAL, chunk 30; kind 2 causal true heads 3 x 5 rounds 1 chunk 30 same false corr "
            "false\n"
            "FULL; kind 3 causal true heads 3 x 5 rounds 1 chunk 64 same false corr false\n"
            "LSH STRICT, 3 rounds, 24 buckets (4 x 6), chunk 20, duplicates corrected; kind 0 "
            "causal true heads 3 x 5 rounds 3 chunk 20 same false corr true 4 6\n"
            "LOCAL, chunk 30; kind 2 causal true heads 3 x 5 rounds 1 chunk 30 same false corr "
            "false\n");
  EXPECT_FALSE(config.run.data().has_validation_share());
  expect_round_trip(config);
}

TEST(ConfigResolve, ShortModelsAreNotHashed) {
  const std::string model = "model { layers: 1 lsh { chunk_length: 64 rounds: 1 } } ";
  const std::string full_128 = "FULL (asked LSH; 128 tokens are too few to hash)";
  const auto layer_at = [&](int length, const std::vector<std::string>& overrides) {
    const RunConfig config =
        parse(model + fmt::format("data {{ path: \"/novel.txt\" length: {} }}", length), overrides);
    expect_round_trip(config);
    return descriptions(config).front();
  };
  EXPECT_EQ(layer_at(128, {}), full_128);
  EXPECT_EQ(layer_at(129, {}), "LSH STRICT, 1 round, 2 buckets, chunk 64");
  EXPECT_EQ(layer_at(129, {"model.lsh.full_up_to=129"}),
            "FULL (asked LSH; 129 tokens are too few to hash)");
  EXPECT_EQ(layer_at(128, {"model.lsh.full_up_to=1"}), full_128);
  EXPECT_EQ(layer_at(128, {"model.attention_pattern=FULL", "model.lsh="}), "FULL");
}

TEST(ConfigResolve, BidirectionalHoldsForAllLayers) {
  const RunConfig config = parse(R"(
model {
  layers: 3
  attention_pattern: [LSH, LOCAL, FULL]
  lsh { mode: CHUNKED bidirectional: true same_bucket_only: true }
}
data { path: "/novel.txt" }
)");
  EXPECT_EQ(descriptions(config),
            (std::vector<std::string>{
                "LSH CHUNKED, 2 rounds, 32 buckets, chunk 64, same bucket only, bidirectional",
                "LOCAL, chunk 64, bidirectional", "FULL, bidirectional"}));
  for (const LayerSpec& layer : config.model.layers) EXPECT_FALSE(layer.attention.causal);
  expect_round_trip(config);
}

TEST(ConfigResolve, PositionsOfEachKind) {
  const auto axes = [](const std::string& positions, int width) {
    const RunConfig config =
        parse(fmt::format("model {{ width: {} heads: 1 positions {{ {} }} }} {}", width, positions,
                          "data { path: \"/novel.txt\" length: 1000 }"));
    expect_round_trip(config);
    std::string text;
    for (const PositionAxis& axis : config.model.position_axes) {
      text += fmt::format("{}x{} ", axis.extent, axis.width);
    }
    return text;
  };
  EXPECT_EQ(axes("", 16), "31x4 33x12 ");
  EXPECT_EQ(axes("", 2), "31x1 33x1 ");
  EXPECT_EQ(axes("", 1), "1000x1 ");
  EXPECT_EQ(axes("shape: 1024", 16), "1024x16 ");
  EXPECT_EQ(axes("shape: [8, 125]", 16), "8x4 125x12 ");
  EXPECT_EQ(axes("widths: [6, 10]", 16), "31x6 33x10 ");
  EXPECT_EQ(axes("widths: 16", 16), "1000x16 ");
  EXPECT_EQ(axes("kind: LEARNED", 16), "1000x16 ");
  EXPECT_EQ(axes("kind: NONE", 16), "");
}

TEST(ConfigRoundTrip, EveryKindOfRun) {
  for (const char* text : {
           kSmallest,
           kSmallestDuplication,
           "data { path: \"/a \\\"b\\\"\\n\\303\\274\" validation_share: 0.25 length: 7 }",
           "data { path: \"a\" train { end: 9 } validation { begin: 9 } } training { batch: 6 "
           "micro_batch: 2 }",
           "data { path: \"a\" train { begin: 9 end: 12 } validation { end: 9 } }",
           "data { path: \"a\" byte_offset: 2 } model { vocabulary: 258 }",
           "data { source: TOKENS path: \"a\" train { end: 9 } validation { begin: 9 } }",
           "data { source: CHARACTERS path: \"a\" alphabet: \"AC\\\"\" fold_case: true }",
           "data { source: CHARACTERS path: \"a\" alphabet: \"AC\" header_mark: \"\" }",
           "data { source: RECORDS path: \"a\" length: 12 byte_offset: 1 } model { vocabulary: 300 "
           "}",
           "data { source: INCREMENT max_stride: 7 symbols: 9 }",
           "data { source: RETRIEVAL symbols: 9 pairs: 5 value_length: 2 queries: 3 }",
           "data { path: \"a\" } optimizer { kind: ADAFACTOR } training { schedule { kind: RSQRT } "
           "}",
           "data { path: \"a\" } training { schedule { kind: CONSTANT rate: 0.1 } steps: 3 }",
           "data { path: \"a\" } training { seed: 18446744073709551615 spike_factor: 1e300 }",
           "data { path: \"a\" } model { attention_pattern: [LOCAL, FULL] }",
           "data { path: \"a\" } model { layers: 1 attention_pattern: [LOCAL, LSH] }",
           "data { path: \"a\" } model { lsh { mode: CHUNKED same_bucket_only: true } }",
           "data { path: \"a\" } model { lsh { same_bucket_only: false bidirectional: false } }",
           "data { path: \"a\" length: 65536 } model { lsh { chunk_length: 16 } }",
           "data { path: \"a\" } model { max_length: 5000 dropout: 0.1 lsh { full_up_to: 5000 } }",
       }) {
    SCOPED_TRACE(text);
    expect_round_trip(parse(text));
  }
}

TEST(ConfigRoundTrip, InertFieldsAreDropped) {
  const config::Run duplication = parse(kSmallestDuplication).run;
  EXPECT_FALSE(duplication.data().has_path());
  EXPECT_FALSE(duplication.data().has_validation_share());
  EXPECT_TRUE(duplication.data().has_symbols());
  EXPECT_FALSE(duplication.optimizer().has_adafactor());
  EXPECT_TRUE(duplication.optimizer().has_adamw());
  EXPECT_FALSE(duplication.model().has_local());
}

// The test runs in the root of the repository.
}  // namespace
}  // namespace reformer
