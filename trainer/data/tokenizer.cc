#include "trainer/data/tokenizer.h"

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "trainer/checkpoint/durable_file.h"
#include "trainer/data/byte_tokenizer.h"
#include "trainer/data/character_tokenizer.h"
#include "trainer/data/record_tokenizer.h"
#include "trainer/data/sentencepiece_tokenizer.h"
#include "trainer/data/token_shards.h"

namespace reformer {

std::string tokenizer_model_of(const config::Run& run) {
  return run.data().source() == config::Data::TOKENS ? read_tokenizer_model(run.data().path()) : "";
}

std::string token_meaning(const config::Run& run, const std::string& model) {
  const config::Data& data = run.data();
  const std::string source = "data.source " + config::Data::Source_Name(data.source());
  switch (data.source()) {
    case config::Data::BYTES:
    case config::Data::RECORDS:  // another source than BYTES: token 0 of a sequence is its start
      return fmt::format("{}, data.byte_offset {}", source, data.byte_offset());
    case config::Data::CHARACTERS:
      return fmt::format("{}, data.alphabet \"{}\", data.fold_case {}", source, data.alphabet(),
                         data.fold_case());
    case config::Data::TOKENS:
      return fmt::format("{}, tokenizer.model of {} bytes with CRC32C {:08x}", source, model.size(),
                         crc32c(model.data(), model.size()));
    case config::Data::INCREMENT:  // `symbols` closes the circle
    case config::Data::RETRIEVAL:  // and here says where keys end and values begin
      return fmt::format("{}, data.symbols {}", source, data.symbols());
    case config::Data::DUPLICATION:
      break;
  }
  return source;
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
