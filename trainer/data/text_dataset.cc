#include "trainer/data/text_dataset.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "trainer/data/mapped_file.h"
#include "trainer/data/record_dataset.h"
#include "trainer/data/stream_dataset.h"

namespace reformer {
namespace {

class TokensInMemory final : public TokenStream {
 public:
  TokensInMemory(std::string path, std::vector<int32_t> tokens, int64_t vocabulary)
      : path_(std::move(path)), tokens_(std::move(tokens)), vocabulary_(vocabulary) {}

  int64_t size() const override { return static_cast<int64_t>(tokens_.size()); }
  void read(int64_t begin, std::span<int32_t> tokens) const override {
    std::copy_n(tokens_.begin() + begin, tokens.size(), tokens.begin());
  }
  int64_t vocabulary() const override { return vocabulary_; }
  const std::string& path() const override { return path_; }

 private:
  std::string path_;
  std::vector<int32_t> tokens_;
  int64_t vocabulary_;
};

}  // namespace

TextDataset make_text_dataset(const config::Run& run, const std::string& path,
                              const Tokenizer& tokenizer) {
  if (run.data().source() == config::Data::RECORDS) {
    return {.dataset = std::make_unique<RecordDataset>(run, path)};
  }
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  std::vector<int32_t> tokens;
  try {
    tokens = tokenizer.encode(text);
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", path, error.what()));
  }
  const std::string first =
      tokenizer.decode(std::span(tokens).first(std::min<size_t>(1, tokens.size())));
  const DataRange whole{0, static_cast<int64_t>(tokens.size())};
  return {
      .dataset = std::make_unique<StreamDataset>(
          run, std::make_unique<TokensInMemory>(path, std::move(tokens), tokenizer.vocabulary()),
          DataSplit{.train = {}, .validation = whole}),
      .predicted_bytes = static_cast<int64_t>(text.size() - first.size())};
}

}  // namespace reformer
