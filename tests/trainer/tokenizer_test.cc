// Which tokenizer a configuration asks for.
#include "trainer/data/tokenizer.h"

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/sentencepiece_testing.h"
#include "tests/trainer/token_shards_testing.h"

namespace reformer {
namespace {

using Tokens = std::vector<int32_t>;

TEST(TokenizerTest, BytesAreShiftedByTheOffset) {
  config::Run run;
  EXPECT_EQ(make_tokenizer(run, "")->encode("a"), Tokens{'a'});
  run.mutable_data()->set_byte_offset(2);
  EXPECT_EQ(make_tokenizer(run, "")->encode("a"), Tokens{'a' + 2});
  EXPECT_EQ(tokenizer_model_of(run), "") << "the configuration says it all";
  run.mutable_data()->set_source(config::Data::RECORDS);
  EXPECT_EQ(make_tokenizer(run, "")->encode("a"), (Tokens{0, 'a' + 2}));
  EXPECT_EQ(tokenizer_model_of(run), "");
}

TEST(TokenizerTest, CharactersAreThoseOfTheAlphabet) {
  config::Run run;
  run.mutable_data()->set_source(config::Data::CHARACTERS);
  run.mutable_data()->set_alphabet("AC");
  EXPECT_EQ(make_tokenizer(run, "")->encode("CA"), (Tokens{1, 0}));
  EXPECT_EQ(tokenizer_model_of(run), "");
}

TEST(TokenizerTest, TokensHaveTheModelThatLiesBesideThem) {
  const testing::TemporaryDirectory directory;
  config::Run run;
  run.mutable_data()->set_source(config::Data::TOKENS);
  run.mutable_data()->set_path(directory.path() + "/tokens");
  testing::write_shards(run.data().path(), {1}, 480, 10, testing::model_with_bytes());
  const std::string model = tokenizer_model_of(run);
  EXPECT_EQ(model, testing::model_with_bytes());
  const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(run, model);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("some text\n")), "some text\n");
  EXPECT_EQ(tokenizer->description(), "sentencepiece model of 480 pieces");
  EXPECT_THROW(make_tokenizer(run, ""), DataError);
}

TEST(TokenizerTest, ATaskHasNone) {
  config::Run run;
  for (const auto source :
       {config::Data::DUPLICATION, config::Data::INCREMENT, config::Data::RETRIEVAL}) {
    run.mutable_data()->set_source(source);
    EXPECT_EQ(tokenizer_model_of(run), "");
    try {
      make_tokenizer(run, "");
      ADD_FAILURE() << "accepted";
    } catch (const ConfigError& error) {
      EXPECT_EQ(std::string(error.what()),
                "data.source " + config::Data::Source_Name(source) +
                    " has no text, legal: BYTES, TOKENS, CHARACTERS, RECORDS");
    }
  }
}

}  // namespace
}  // namespace reformer
