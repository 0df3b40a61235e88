// Values from the command line in place of the file's.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/trainer/config_testing.h"
#include "trainer/config/overrides.h"

namespace reformer {
namespace {

using testing::descriptions;
using testing::error_of;
using testing::kSmallest;
using testing::parse;

TEST(ConfigOverride, TakesThePlaceOfTheFile) {
  const RunConfig config = parse(
      "model { layers: 3 attention_pattern: [LOCAL, LSH, FULL] lsh { buckets: [4, 4] } } "
      "data { path: \"a\" }",
      {"model.layers=4", "model.attention_pattern=[LOCAL,LSH]", "model.lsh.buckets=[ 8 , 6 ]",
       "training.schedule.rate=2.5e-3", "model.lsh.correct_duplicates=true", "data.path=/x/y z.txt",
       "training.seed=18446744073709551615"});
  EXPECT_EQ(config.run.model().layers(), 4);
  EXPECT_EQ(descriptions(config)[1],
            "LSH STRICT, 2 rounds, 48 buckets (8 x 6), chunk 64, duplicates corrected");
  EXPECT_EQ(config.run.model().attention_pattern_size(), 2);
  EXPECT_EQ(config.run.training().schedule().rate(), 2.5e-3);
  EXPECT_EQ(config.run.data().path(), "/x/y z.txt");
  EXPECT_EQ(config.run.training().seed(), UINT64_MAX);
}

TEST(ConfigOverride, TheLastOneHolds) {
  EXPECT_EQ(parse(kSmallest, {"model.layers=4", "model.layers=5"}).run.model().layers(), 5);
  EXPECT_EQ(error_of(kSmallest, {"model.layers=4", "model.layers=0"}),
            "--set model.layers=0: 0 is out of range, legal: whole numbers from 1 to 1024");
}

TEST(ConfigOverride, RepairsTheFile) {
  EXPECT_EQ(
      parse("data { path: \"a\" } model { layers: 0 }", {"model.layers=2"}).model.layers.size(),
      2u);
}

TEST(ConfigOverride, WithoutAValueLeavesTheFieldOut) {
  const std::string text =
      "data { path: \"a\" } optimizer { adamw { beta1: 0.5 } } model { lsh { buckets: [4, 4] } }";
  const RunConfig config =
      parse(text, {"optimizer.kind=ADAFACTOR", "optimizer.adamw=", "model.lsh.buckets="});
  EXPECT_EQ(config.run.optimizer().kind(), config::Optimizer::ADAFACTOR);
  EXPECT_EQ(config.run.model().lsh().buckets_size(), 1);
  EXPECT_EQ(parse(text, {"model.lsh.buckets=[]"}).run.model().lsh().buckets_size(), 1);
  EXPECT_EQ(parse(text, {"checkpoint.keep="}).run.checkpoint().keep(), 2);
}

TEST(ConfigOverride, IsRefusedWhenItIsNone) {
  const auto error = [](const std::string& argument) { return error_of(kSmallest, {argument}); };
  const std::string layers = ", legal: whole numbers from 1 to 1024";
  EXPECT_EQ(error("model.layers=x"), "--set model.layers=x: bad value x" + layers);
  EXPECT_EQ(error("model.layers=4 heads: 2"),
            "--set model.layers=4 heads: 2: bad value 4 heads: 2" + layers);
  EXPECT_EQ(error("model.layers=4 } x {"),
            "--set model.layers=4 } x {: bad value 4 } x {" + layers);
  EXPECT_EQ(error("model.layers=4 # four"),
            "--set model.layers=4 # four: bad value 4 # four" + layers);
  EXPECT_EQ(error("model.layers=4\nheads: 2"),
            "--set model.layers=4?heads: 2: bad value 4?heads: 2" + layers);
  EXPECT_EQ(error("model.layers=[4]"), "--set model.layers=[4]: bad value [4]" + layers);
  EXPECT_EQ(error("model.layers= "), "--set model.layers= : bad value  " + layers);
  EXPECT_EQ(error("model.attention_pattern=[LSH,LHS]"),
            "--set model.attention_pattern=[LSH,LHS]: bad value [LSH,LHS], legal: LSH, LOCAL, "
            "FULL");
  EXPECT_EQ(error("model.lsh.correct_duplicates=maybe"),
            "--set model.lsh.correct_duplicates=maybe: bad value maybe, legal: true, false");
  EXPECT_EQ(error("training.seed=-1"),
            "--set training.seed=-1: bad value -1, legal: whole numbers from 0 to "
            "18446744073709551615");
  EXPECT_EQ(error("model.dropout=nan"),
            "--set model.dropout=nan: nan is out of range, legal: numbers of at least 0 and at "
            "most 0.99");
  EXPECT_EQ(error("model.lsh.buckets=[4,3]"),
            "--set model.lsh.buckets=[4,3]: 3 is odd, legal: even numbers from 2 to 65536");
  EXPECT_EQ(error("model.width=10"),
            "--set model.width=10: model.width 10 is not a multiple of model.heads 4, legal: "
            "multiples of 4, or model.head_width given");
}

TEST(ConfigOverride, NamesMustExist) {
  const auto error = [](const std::string& argument) { return error_of(kSmallest, {argument}); };
  const std::string top =
      ", legal: model, data, training, optimizer, evaluation, checkpoint, execution, parallel";
  EXPECT_EQ(error("model.layers"),
            "--set model.layers: no value, legal: FIELD=VALUE, such as model.layers=4");
  EXPECT_EQ(error("=4"), "--set =4: unknown field" + top);
  EXPECT_EQ(error("modle.layers=4"),
            "--set modle.layers=4: unknown field (did you mean model?)" + top);
  EXPECT_EQ(error("layers=4"), "--set layers=4: unknown field (did you mean model.layers?)" + top);
  EXPECT_EQ(error("model.lsh.round=4"),
            "--set model.lsh.round=4: unknown field (did you mean model.lsh.rounds?), legal: mode, "
            "rounds, chunk_length, buckets, same_bucket_only, correct_duplicates, bidirectional, "
            "full_up_to");
  EXPECT_EQ(error("checkpoint.=4"), "--set checkpoint.=4: unknown field, legal: every, keep");
  EXPECT_EQ(error("model.layers.x=4"),
            "--set model.layers.x=4: model.layers has no fields, legal: model.layers=VALUE");
  EXPECT_EQ(error("checkpoint=4"),
            "--set checkpoint=4: checkpoint is a message, legal: checkpoint.FIELD=VALUE, FIELD any "
            "of every, keep");
}

}  // namespace
}  // namespace reformer
