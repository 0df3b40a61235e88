#include "trainer/data/dataset.h"

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "trainer/data/byte_tokenizer.h"
#include "trainer/data/bytes.h"
#include "trainer/data/duplication.h"

namespace reformer {
namespace {

/// Tokens are rows of tables of model.vocabulary rows.
void require_vocabulary(const config::Run& run, int64_t tokens) {
  if (run.model().vocabulary() >= tokens) return;
  throw ConfigError(fmt::format(
      "model.vocabulary {} is too small for data.source {}, legal: at least {}",
      run.model().vocabulary(), config::Data::Source_Name(run.data().source()), tokens));
}

}  // namespace

std::unique_ptr<Dataset> make_dataset(const config::Run& run) {
  switch (run.data().source()) {
    case config::Data::DUPLICATION:
      require_vocabulary(run, run.data().symbols() + 1);
      return std::make_unique<DuplicationDataset>(run);
    case config::Data::BYTES:
      break;
  }
  require_vocabulary(run, ByteTokenizer(run.data().byte_offset()).vocabulary());
  return std::make_unique<ByteDataset>(run);
}

}  // namespace reformer
