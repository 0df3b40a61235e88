// What all datasets share, and which one a configuration asks for.
#include "trainer/data/dataset.h"

#include <map>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/dataset_testing.h"

namespace reformer {
namespace {

using testing::TemporaryDirectory;
using testing::write_file;

// Which sequences a seed means must not change from version to version. From another implementation
// of Philox.
TEST(DrawSampleTest, TheOrderIsFixed) {
  EXPECT_EQ(draw_sample(5, 3, 0, 59800), 13280);
  EXPECT_EQ(draw_sample(5, 3, 1, 59800), 26388);
  EXPECT_EQ(draw_sample(5, 3, int64_t{1} << 32, 59800), 43129);
}

TEST(DrawSampleTest, EveryPlaceIsDrawnAlikeOften) {
  std::map<int64_t, int> counts;
  for (int64_t sample = 0; sample < 5000; ++sample) ++counts[draw_sample(1, 2, sample, 5)];
  ASSERT_EQ(counts.size(), 5u);
  for (const auto& [place, count] : counts) {
    EXPECT_TRUE(0 <= place && place < 5);
    EXPECT_NEAR(count, 1000, 150);  // five standard deviations
  }
  EXPECT_EQ(draw_sample(1, 2, 3, 1), 0);
}

TEST(MakeDatasetTest, EverySourceGivesItsOwn) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/file";
  write_file(path, std::string(100, 'a'));
  const auto description_of = [&](const std::function<void(config::Data&)>& change) {
    config::Run run;
    run.mutable_data()->set_length(4);
    change(*run.mutable_data());
    return make_dataset(run)->description();
  };
  const auto of_file = [&](config::Data::Source source) {
    return description_of([&](config::Data& data) {
      data.set_source(source);
      data.set_path(path);
      data.set_alphabet("abc");
      if (source == config::Data::RECORDS) data.set_length(10);
    });
  };
  EXPECT_EQ(of_file(config::Data::BYTES),
            "bytes of " + path +
                ": training [0, 90), held-out [90, 100), of which 3 of 3 sequences of 4 bytes are "
                "evaluated");
  EXPECT_EQ(of_file(config::Data::CHARACTERS),
            "characters of " + path +
                ": training [0, 90), held-out [90, 100), of which 3 of 3 sequences of 4 characters "
                "are evaluated");
  EXPECT_EQ(of_file(config::Data::RECORDS), "records of 10 bytes of " + path +
                                                ": training [0, 9), held-out [9, 10), of which 1 "
                                                "are evaluated");
}

TEST(MakeDatasetTest, AVocabularyTooSmallIsRefused) {
  const TemporaryDirectory directory;
  config::Run run;
  run.mutable_data()->set_path(directory.path() + "/file");
  write_file(run.data().path(), std::string(100, 'a'));
  run.mutable_data()->set_length(4);
  run.mutable_data()->set_alphabet("abc");
  run.mutable_data()->set_source(config::Data::CHARACTERS);
  run.mutable_model()->set_vocabulary(3);
  EXPECT_NO_THROW(make_dataset(run));
  run.mutable_model()->set_vocabulary(2);
  try {
    make_dataset(run);
    ADD_FAILURE() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "model.vocabulary 2 is too small for data.source CHARACTERS, legal: at least 3");
  }
  run.mutable_data()->set_source(config::Data::RECORDS);
  run.mutable_model()->set_vocabulary(255);
  EXPECT_THROW(make_dataset(run), ConfigError);
}

TEST(TokenNameTest, IsWhatALikelihoodIsOf) {
  config::Data data;
  EXPECT_STREQ(token_name(data), "byte");
  data.set_source(config::Data::RECORDS);
  EXPECT_STREQ(token_name(data), "byte");
  data.set_source(config::Data::CHARACTERS);
  EXPECT_STREQ(token_name(data), "character");
  for (const auto source : {config::Data::TOKENS, config::Data::DUPLICATION,
                            config::Data::INCREMENT, config::Data::RETRIEVAL}) {
    data.set_source(source);
    EXPECT_STREQ(token_name(data), "token");
  }
}

}  // namespace
}  // namespace reformer
