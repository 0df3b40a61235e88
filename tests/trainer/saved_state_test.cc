// A training state through a checkpoint and back, to the bit, and checkpoints of something else.
#include "trainer/saved_state.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "comm/self.h"
#include "comm/threads.h"
#include "kernels/cpu/cpu_backend.h"
#include "tests/kernels/op_testing.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/config_testing.h"
#include "tests/trainer/sentencepiece_testing.h"
#include "tests/trainer/token_shards_testing.h"
#include "trainer/model/parameters.h"
#include "trainer/step.h"

namespace reformer {
namespace {

using testing::error_of;
using testing::expect_contains;
using testing::same_bits;
using testing::TemporaryDirectory;

constexpr const char* kConfig = R"(
data { source: DUPLICATION length: 64 symbols: 20 }
model {
  vocabulary: 32 width: 16 ff_width: 40 heads: 2 layers: 2
  attention_pattern: LSH attention_pattern: LOCAL
  lsh { chunk_length: 8 } local { chunk_length: 8 }
}
training { batch: 2 steps: 20 schedule { kind: CONSTANT warmup: 2 } }
)";

/// A run with its state, somewhere in training.
class TestRun {
 public:
  explicit TestRun(const std::vector<std::string>& overrides = {}, uint64_t seed = 1)
      : config(testing::parse(kConfig, overrides)),
        backend_(make_cpu_backend(1)),
        arena_(backend_->make_arena(size_t{1} << 26)),
        dataset_(make_dataset(config.run)),
        state(config.run, config.model, *backend_, *arena_),
        guard(config.run.training()) {
    state.initialize_parameters(seed);
  }

  /// Trains steps [first, last]; the losses.
  std::vector<double> train(int64_t first, int64_t last) {
    std::vector<double> losses;
    for (int64_t step = first; step <= last; ++step) {
      losses.push_back(
          train_step(config.run, *dataset_, data_parallel(alone_), state, guard, step).loss);
    }
    return losses;
  }

  std::string save(const std::string& directory, int64_t step) {
    return save_state({.directory = directory,
                       .config = config,
                       .tokenizer_model = tokenizer_model,
                       .step = step},
                      state, guard, alone_);
  }
  int64_t load(const std::string& path) {
    const CheckpointReader checkpoint(path);
    return load_state(&checkpoint, config, state, guard, alone_);
  }

  const RunConfig config;
  std::string tokenizer_model;

 private:
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<Dataset> dataset_;
  SelfCommunicator alone_;

 public:
  TrainingState state;
  SkipGuard guard;
};

class SavedStateTest : public ::testing::Test {
 protected:
  std::optional<CheckpointReader> open() {
    said_.clear();
    return open_newest(directory_.path(),
                       [this](const std::string& text) { said_.push_back(text); });
  }

  /// Why a run with `overrides` cannot go on from a checkpoint of kConfig; empty if it can.
  std::string refusal(const std::vector<std::string>& overrides) {
    const std::string path = TestRun().save(directory_.path(), 1);
    return error_of([&] { TestRun(overrides).load(path); });
  }

  TemporaryDirectory directory_;
  std::vector<std::string> said_;
};

class EveryOptimizer : public SavedStateTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(EveryOptimizer, TrainingGoesOnAsIfItHadNeverStopped) {
  TestRun first({GetParam()});
  first.train(1, 3);
  const std::string path = first.save(directory_.path(), 3);

  TestRun second({GetParam()}, /*seed=*/99);
  second.train(1, 1);  // leaves optimizer state that loading must replace
  std::fill_n(second.state.parameters.data<float>(), second.state.parameters.elements(), 7.0f);
  EXPECT_EQ(second.load(path), 3);
  EXPECT_TRUE(same_bits(second.state.parameters, first.state.parameters)) << "gaps included";
  const std::vector<ShardedTensor> expected = first.state.optimizer->state();
  const std::vector<ShardedTensor> actual = second.state.optimizer->state();
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(actual[i].name, expected[i].name);
    EXPECT_TRUE(same_bits(actual[i].part, expected[i].part)) << expected[i].name;
  }
  EXPECT_EQ(second.train(4, 6), first.train(4, 6));
  EXPECT_TRUE(same_bits(second.state.parameters, first.state.parameters));
}

INSTANTIATE_TEST_SUITE_P(Optimizers, EveryOptimizer,
                         ::testing::Values("optimizer.kind=ADAMW", "optimizer.kind=ADAFACTOR"));

TEST_F(SavedStateTest, TheGuardIsRestored) {
  TestRun first;
  first.guard.restore({.mean_norm = 1.0 / 3, .accepted = 123, .skipped_in_a_row = 2});
  TestRun second;
  second.load(first.save(directory_.path(), 7));
  EXPECT_EQ(second.guard.state().mean_norm, 1.0 / 3);
  EXPECT_EQ(second.guard.state().accepted, 123);
  EXPECT_EQ(second.guard.state().skipped_in_a_row, 2);
}

TEST_F(SavedStateTest, EveryRankGetsTheStepAndTheGuard) {
  TestRun first;
  first.guard.restore({.mean_norm = 1.0 / 3, .accepted = 123, .skipped_in_a_row = 2});
  const std::string path = first.save(directory_.path(), 7);
  run_as_threads(2, [&](Communicator& communicator) {
    const std::unique_ptr<Backend> backend = make_cpu_backend(1);
    const std::unique_ptr<Arena> arena = backend->make_arena(size_t{1} << 26);
    const TrainingState state(first.config.run, first.config.model, *backend, *arena,
                              communicator.rank(), communicator.size());
    SkipGuard guard(first.config.run.training());
    std::optional<CheckpointReader> checkpoint;
    if (communicator.rank() == 0) checkpoint.emplace(path);
    EXPECT_EQ(
        load_state(checkpoint ? &*checkpoint : nullptr, first.config, state, guard, communicator),
        7);
    EXPECT_EQ(guard.state().mean_norm, 1.0 / 3);
    EXPECT_EQ(guard.state().accepted, 123);
    EXPECT_EQ(guard.state().skipped_in_a_row, 2);
    EXPECT_TRUE(same_bits(state.parameters, first.state.parameters));
  });
}

TEST_F(SavedStateTest, TheManifestTellsWhatItIsOf) {
  const TestRun run;
  const CheckpointReader checkpoint(TestRun().save(directory_.path(), 7));
  EXPECT_EQ(checkpoint.manifest().step(), 7);
  EXPECT_EQ(checkpoint.manifest().config(), to_text(run.config.run));
  EXPECT_EQ(checkpoint.manifest().numeric_identity(), run.state.backend.numeric_identity());
}

TEST_F(SavedStateTest, TheTokenizerIsThatOfTheData) {
  TestRun run({"data.source=BYTES", "data.symbols=", "model.vocabulary=258", "data.byte_offset=2",
               "data.path=" + std::filesystem::absolute("configs/persuasion.txt").string()});
  const CheckpointReader checkpoint(run.save(directory_.path(), 1));
  EXPECT_EQ(tokenizer_of(checkpoint)->encode("a"), std::vector<int32_t>{'a' + 2});
  EXPECT_FALSE(checkpoint.manifest().has_tokenizer_model());
  EXPECT_NO_THROW(require_same_tokenizer(checkpoint, run.config.run, ""));
}

TEST_F(SavedStateTest, ATokenizerWithAModelTravelsAlong) {
  const std::string folder = directory_.path() + "/tokens";
  const std::string& model = testing::model_with_bytes();
  testing::write_shards(folder, testing::some_tokens(2000, 480), 480, 5000, model);
  TestRun run({"data.source=TOKENS", "data.symbols=", "model.vocabulary=480",
               "data.path=" + std::filesystem::absolute(folder).string()});
  run.tokenizer_model = tokenizer_model_of(run.config.run);
  const std::string path = run.save(directory_.path(), 1);
  std::filesystem::remove_all(folder);
  const CheckpointReader checkpoint(path);
  const std::unique_ptr<Tokenizer> tokenizer = tokenizer_of(checkpoint);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("some text\n")), "some text\n");
  EXPECT_NO_THROW(require_same_tokenizer(checkpoint, run.config.run, model));
  expect_contains(error_of([&] { require_same_tokenizer(checkpoint, run.config.run, "another"); }),
                  "checkpoint " + path +
                      ": was trained on tokens of another tokenizer than this run's data: "
                      "data.source TOKENS, tokenizer.model of");
}

TEST_F(SavedStateTest, TokensOfAnotherMeaningAreRefused) {
  const auto refusal = [this](const std::vector<std::string>& trained_on,
                              const std::vector<std::string>& changes) {
    std::vector<std::string> all = trained_on;
    all.insert(all.end(), changes.begin(), changes.end());
    const CheckpointReader checkpoint(TestRun(trained_on).save(directory_.path(), 1));
    const RunConfig config = testing::parse(kConfig, all);
    return error_of([&] { require_same_tokenizer(checkpoint, config.run, ""); });
  };
  const std::vector<std::string> bytes = {
      "data.source=BYTES", "data.symbols=", "model.vocabulary=258",
      "data.path=" + std::filesystem::absolute("configs/persuasion.txt").string()};
  expect_contains(refusal(bytes, {"data.byte_offset=2"}),
                  ": data.source BYTES, data.byte_offset 0; here: data.source BYTES, "
                  "data.byte_offset 2");
  expect_contains(refusal(bytes, {"data.source=RECORDS"}),
                  "here: data.source RECORDS, data.byte_offset 0");
  expect_contains(refusal({}, {"data.source=INCREMENT", "data.max_stride=3"}),
                  ": data.source DUPLICATION; here: data.source INCREMENT, data.symbols 20");
  EXPECT_EQ(refusal(bytes, {"data.validation_share=0.2"}), "");
  EXPECT_EQ(refusal({}, {"data.symbols=10"}), "");
}

TEST_P(EveryOptimizer, ABeginningTrainsLikeARunThatWasInitialisedSo) {
  TestRun first({GetParam()});
  const std::string path = save_beginning(
      {.directory = directory_.path(), .config = first.config, .tokenizer_model = ""},
      first.state.parameters, first.state.backend.numeric_identity());
  TestRun second({GetParam()}, /*seed=*/99);
  second.train(1, 2);
  second.guard.restore({.mean_norm = 1, .accepted = 5, .skipped_in_a_row = 1});
  EXPECT_EQ(second.load(path), 0);
  EXPECT_EQ(second.guard.state().accepted, 0);
  EXPECT_EQ(second.train(1, 3), first.train(1, 3));
  const CheckpointReader checkpoint(path);
  EXPECT_EQ(checkpoint.manifest().config(), to_text(first.config.run));
  EXPECT_EQ(checkpoint.manifest().numeric_identity(), first.state.backend.numeric_identity());
}

TEST_F(SavedStateTest, AnotherModelIsRefusedByField) {
  expect_contains(refusal({"model.ff_width=64"}),
                  "is of another model: its configuration has 'ff_width: 40' where this run's has "
                  "'ff_width: 64'");
  expect_contains(refusal({"model.layers=3"}), "has 'layers: 2' where this run's has 'layers: 3'");
  // These leave no trace in any shape.
  expect_contains(refusal({"model.lsh.rounds=4"}), "'rounds: 2' where this run's has 'rounds: 4'");
  expect_contains(refusal({"model.local.chunk_length=16"}),
                  "'chunk_length: 8' where this run's has 'chunk_length: 16'");
}

TEST_F(SavedStateTest, AnotherOptimizerIsRefusedByTensor) {
  expect_contains(refusal({"optimizer.kind=ADAFACTOR"}), "has a tensor adamw.m/embedding.tokens");
}

TEST_F(SavedStateTest, WhatIsNotTheModelMayChange) {
  EXPECT_EQ(refusal({"training.steps=50", "training.batch=4", "training.schedule.rate=0.1",
                     "execution.activations=STORE", "evaluation.sequences=3"}),
            "");
}

TEST_F(SavedStateTest, ParametersAloneLeaveTheOptimizerAsItWas) {
  TestRun first;
  first.train(1, 2);
  const std::string path = first.save(directory_.path(), 2);
  TestRun second({"optimizer.kind=ADAFACTOR"}, /*seed=*/99);  // evaluation has no use for it
  const std::vector<ShardedTensor> of_optimizer = second.state.optimizer->state();
  load_parameters(CheckpointReader(path), second.state.spec, second.state.backend,
                  second.state.parameters);
  EXPECT_TRUE(same_bits(second.state.parameters, first.state.parameters));
  for (const ShardedTensor& tensor : of_optimizer) {
    const Tensor zeros(DType::kFloat32, tensor.part.shape());
    EXPECT_TRUE(same_bits(tensor.part, zeros.view())) << tensor.name;
  }
}

TEST_F(SavedStateTest, TheDigestIsOfTheParametersAlone) {
  TestRun run;
  const uint32_t first = parameter_digest(CheckpointReader(run.save(directory_.path(), 1)));
  run.guard.restore({.mean_norm = 5, .accepted = 9, .skipped_in_a_row = 0});
  run.state.optimizer->state()[0].part.data<float>()[0] = 3;
  EXPECT_EQ(parameter_digest(CheckpointReader(run.save(directory_.path(), 2))), first);
  run.state.parameters.data<float>()[5] += 1;
  EXPECT_NE(parameter_digest(CheckpointReader(run.save(directory_.path(), 3))), first);
}

TEST_F(SavedStateTest, OnlyAsManyAsConfiguredAreKept) {
  TestRun run({"checkpoint.keep=2"});
  for (int64_t step : {1, 2, 3}) run.save(directory_.path(), step);
  EXPECT_EQ(list_checkpoints(directory_.path()).size(), 2u);
  EXPECT_EQ(open()->manifest().step(), 3);
}

TEST_F(SavedStateTest, ADamagedCheckpointIsPassedOverAndSaidSo) {
  EXPECT_FALSE(open().has_value()) << "there is none yet";
  TestRun run;
  const std::string older = run.save(directory_.path(), 1);
  run.train(1, 1);
  const std::string newer = run.save(directory_.path(), 2);
  EXPECT_EQ(open()->path(), newer);
  EXPECT_TRUE(said_.empty());

  testing::flip_bit(newer + "/tensors-00000.bin", 1000);
  EXPECT_EQ(open()->path(), older);
  ASSERT_EQ(said_.size(), 1u);
  expect_contains(said_[0], "passed over: checkpoint " + newer);

  testing::flip_bit(older + "/manifest", 300);
  expect_contains(error_of([this] { open(); }), "none of the 2 in " + directory_.path());
  EXPECT_EQ(said_.size(), 2u);
}

}  // namespace
}  // namespace reformer
