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

TEST(TokenizerTest, TheMeaningOfTokensIsWhatDecidesIt) {
  config::Run run;
  config::Data& data = *run.mutable_data();
  EXPECT_EQ(token_meaning(run, ""), "data.source BYTES, data.byte_offset 0");
  data.set_source(config::Data::CHARACTERS);
  data.set_alphabet("ACGTN");
  data.set_fold_case(true);
  const std::string characters = token_meaning(run, "");
  EXPECT_EQ(characters, "data.source CHARACTERS, data.alphabet \"ACGTN\", data.fold_case true");
  data.set_header_mark(";");
  data.set_path("other.fa");
  EXPECT_EQ(token_meaning(run, ""), characters) << "which lines are skipped changes no token";
  data.set_alphabet("TGCAN");
  EXPECT_NE(token_meaning(run, ""), characters);
  data.set_source(config::Data::TOKENS);
  EXPECT_EQ(token_meaning(run, "one"), token_meaning(run, "one"));
  EXPECT_NE(token_meaning(run, "one"), token_meaning(run, "two"));
  data.set_source(config::Data::RETRIEVAL);
  const std::string retrieval = token_meaning(run, "");
  data.set_pairs(data.pairs() + 1);
  EXPECT_EQ(token_meaning(run, ""), retrieval) << "more of them, or longer: the same task";
  data.set_symbols(data.symbols() + 1);
  EXPECT_NE(token_meaning(run, ""), retrieval);
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
