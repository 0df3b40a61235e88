#include "trainer/data/tokenizer.h"

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "trainer/data/byte_tokenizer.h"
#include "trainer/data/character_tokenizer.h"
#include "trainer/data/record_tokenizer.h"
#include "trainer/data/sentencepiece_tokenizer.h"
#include "trainer/data/token_shards.h"

namespace reformer {

std::string tokenizer_model_of(const config::Run& run) {
  return run.data().source() == config::Data::TOKENS ? read_tokenizer_model(run.data().path()) : "";
}

std::unique_ptr<Tokenizer> make_tokenizer(const config::Run& run, const std::string& model) {
  const config::Data& data = run.data();
  switch (data.source()) {
    case config::Data::BYTES:
      return std::make_unique<ByteTokenizer>(data.byte_offset());
    case config::Data::RECORDS:
      return std::make_unique<RecordTokenizer>(ByteTokenizer(data.byte_offset()));
    case config::Data::CHARACTERS:
      return std::make_unique<CharacterTokenizer>(data);
    case config::Data::TOKENS:
      return std::make_unique<SentencePieceTokenizer>(model, "the tokenizer of " + data.path());
    case config::Data::DUPLICATION:
    case config::Data::INCREMENT:
    case config::Data::RETRIEVAL:
      break;
  }
  throw ConfigError(
      fmt::format("data.source {} has no text, legal: BYTES, TOKENS, CHARACTERS, RECORDS",
                  config::Data::Source_Name(data.source())));
}

}  // namespace reformer
