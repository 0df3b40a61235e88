#include "trainer/data/dataset.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "kernels/backend.h"
#include "kernels/core/errors.h"
#include "kernels/core/philox.h"
#include "trainer/data/byte_stream.h"
#include "trainer/data/byte_tokenizer.h"
#include "trainer/data/character_stream.h"
#include "trainer/data/duplication.h"
#include "trainer/data/increment.h"
#include "trainer/data/record_dataset.h"
#include "trainer/data/retrieval.h"
#include "trainer/data/stream_dataset.h"
#include "trainer/data/token_shards.h"

namespace reformer {
namespace {

/// Tokens are rows of tables of model.vocabulary rows.
void require_vocabulary(const config::Run& run, int64_t tokens) {
  if (run.model().vocabulary() >= tokens) return;
  throw ConfigError(fmt::format(
      "model.vocabulary {} is too small for data.source {}, legal: at least {}",
      run.model().vocabulary(), config::Data::Source_Name(run.data().source()), tokens));
}

std::unique_ptr<Dataset> make_stream_dataset(const config::Run& run,
                                             std::unique_ptr<TokenStream> stream) {
  require_vocabulary(run, stream->vocabulary());
  return std::make_unique<StreamDataset>(run, std::move(stream));
}

}  // namespace

template <typename Fill>
TokenBatch Dataset::make_batch(int64_t samples, const DataRange& positions,
                               const Fill& fill) const {
  CHECK(0 <= positions.begin && positions.begin <= positions.end && positions.end <= length_);
  const int64_t width = positions.size();
  TokenBatch batch{.tokens = Tensor(DType::kInt32, {samples, width}),
                   .labels = Tensor(DType::kInt32, {samples, width})};
  int32_t* const tokens = batch.tokens.data<int32_t>();
  int32_t* const labels = batch.labels.data<int32_t>();
  std::fill_n(labels, samples * width, kIgnoredLabel);
  for (int64_t row = 0; row < samples; ++row) {
    fill(row, TokenRow{.tokens = {tokens + row * width, static_cast<size_t>(width)},
                       .labels = {labels + row * width, static_cast<size_t>(width)}});
  }
  batch.valid_labels =
      samples * width - std::count(labels, labels + samples * width, kIgnoredLabel);
  return batch;
}

TokenBatch Dataset::training_batch(int64_t step, int64_t first_sample, int64_t samples,
                                   const DataRange& positions) const {
  return make_batch(samples, positions, [&](int64_t i, const TokenRow& row) {
    fill_training(step, first_sample + i, positions, row);
  });
}

TokenBatch Dataset::validation_batch(int64_t first, int64_t samples,
                                     const DataRange& positions) const {
  CHECK(0 <= first && first + samples <= validation_sequences());
  return make_batch(samples, positions, [&](int64_t i, const TokenRow& row) {
    fill_validation(first + i, positions, row);
  });
}

int64_t draw_sample(uint64_t seed, int64_t step, int64_t sample, int64_t bound) {
  CHECK_GE(bound, 1);
  const PhiloxKey key = make_key(seed, RandomUse::kSampling, static_cast<uint64_t>(step), 0);
  const PhiloxBlock bits =
      philox(key, {static_cast<uint32_t>(sample), static_cast<uint32_t>(sample >> 32), 0, 0});
  return static_cast<int64_t>(bounded(bits, static_cast<uint64_t>(bound)));
}

const char* token_name(const config::Data& data) {
  switch (data.source()) {
    case config::Data::BYTES:
    case config::Data::RECORDS:
      return "byte";
    case config::Data::CHARACTERS:
      return "character";
    default:
      return "token";
  }
}

std::unique_ptr<Dataset> make_dataset(const config::Run& run) {
  const config::Data& data = run.data();
  switch (data.source()) {
    case config::Data::BYTES:
      return make_stream_dataset(
          run, std::make_unique<ByteStream>(data.path(), ByteTokenizer(data.byte_offset())));
    case config::Data::TOKENS:
      return make_stream_dataset(run, std::make_unique<TokenShards>(data.path()));
    case config::Data::CHARACTERS:
      return make_stream_dataset(
          run, std::make_unique<CharacterStream>(data.path(), CharacterTokenizer(data)));
    case config::Data::RECORDS:
      require_vocabulary(run, ByteTokenizer(data.byte_offset()).vocabulary());
      return std::make_unique<RecordDataset>(run);
    case config::Data::DUPLICATION:
      require_vocabulary(run, data.symbols() + 1);
      return std::make_unique<DuplicationDataset>(run);
    case config::Data::INCREMENT:
      require_vocabulary(run, data.symbols() + 1);
      return std::make_unique<IncrementDataset>(run);
    case config::Data::RETRIEVAL:
      require_vocabulary(run, RetrievalDataset::vocabulary(data));
      return std::make_unique<RetrievalDataset>(run);
  }
  CHECK(!"a data.source that make_dataset does not know");
  return nullptr;
}

}  // namespace reformer
