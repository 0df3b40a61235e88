// Which tokenizer a configuration asks for.
#include "trainer/data/tokenizer.h"

#include <gtest/gtest.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

TEST(TokenizerTest, BytesAreShiftedByTheOffset) {
  config::Run run;
  EXPECT_EQ(make_tokenizer(run)->encode("a"), std::vector<int32_t>{'a'});
  run.mutable_data()->set_byte_offset(2);
  EXPECT_EQ(make_tokenizer(run)->encode("a"), std::vector<int32_t>{'a' + 2});
}

TEST(TokenizerTest, ATaskHasNone) {
  config::Run run;
  run.mutable_data()->set_source(config::Data::DUPLICATION);
  try {
    make_tokenizer(run);
    ADD_FAILURE() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(), "data.source DUPLICATION has no text, legal: BYTES");
  }
}

}  // namespace
}  // namespace reformer
