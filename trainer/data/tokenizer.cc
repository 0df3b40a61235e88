#include "trainer/data/tokenizer.h"

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "trainer/data/byte_tokenizer.h"

namespace reformer {

std::unique_ptr<Tokenizer> make_tokenizer(const config::Run& run) {
  switch (run.data().source()) {
    case config::Data::BYTES:
      return std::make_unique<ByteTokenizer>(run.data().byte_offset());
    case config::Data::DUPLICATION:
      break;
  }
  throw ConfigError(fmt::format("data.source {} has no text, legal: BYTES",
                                config::Data::Source_Name(run.data().source())));
}

}  // namespace reformer
