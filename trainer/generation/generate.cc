#include "trainer/generation/generate.h"

#include "trainer/generation/text_stream.h"

namespace reformer {
namespace {

/// One text on its way.
class Writing {
 public:
  Writing(size_t sequence, const std::vector<int32_t>& prompt, const Tokenizer& tokenizer,
          const GenerationOptions& options)
      : sequence_(sequence),
        prompt_tokens_(prompt.size()),
        tokens_(prompt),
        stream_(tokenizer, prompt, options.stop),
        options_(options) {}

  /// Samples the next token.
  void extend(std::span<const float> logits, const TextSink& sink) {
    tokens_.push_back(
        sample_token(logits, tokens_, static_cast<int64_t>(sequence_), options_.sampling));
    emit(stream_.add(tokens_.back()), sink);
    if (done()) emit(stream_.finish(), sink);
  }

  bool done() const {
    return stream_.stopped() ||
           tokens_.size() - prompt_tokens_ >= static_cast<size_t>(options_.max_tokens);
  }
  int32_t newest() const { return tokens_.back(); }
  Continuation result() const {
    return {.text = text_,
            .tokens = {tokens_.begin() + static_cast<ptrdiff_t>(prompt_tokens_), tokens_.end()},
            .stopped = stream_.stopped()};
  }

 private:
  void emit(const std::string& text, const TextSink& sink) {
    if (text.empty()) return;
    text_ += text;
    sink(sequence_, text);
  }

  size_t sequence_;
  size_t prompt_tokens_;
  std::vector<int32_t> tokens_;
  std::string text_;
  TextStream stream_;
  const GenerationOptions& options_;
};

std::span<const float> row_of(const Tensor& logits, size_t row) {
  const auto width = static_cast<size_t>(logits.shape()[1]);
  return {logits.data<float>() + row * width, width};
}

}  // namespace

std::vector<Continuation> generate(Decoder& decoder, const Tokenizer& tokenizer,
                                   const std::vector<std::vector<int32_t>>& prompts,
                                   const GenerationOptions& options, const TextSink& sink) {
  std::vector<Writing> texts;
  for (size_t i = 0; i < prompts.size(); ++i) {
    texts.emplace_back(i, prompts[i], tokenizer, options);
    texts.back().extend(row_of(decoder.prefill(static_cast<int64_t>(i), prompts[i]), 0), sink);
  }
  while (true) {
    std::vector<int32_t> sequences;
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < texts.size(); ++i) {
      if (texts[i].done()) continue;
      sequences.push_back(static_cast<int32_t>(i));
      tokens.push_back(texts[i].newest());
    }
    if (sequences.empty()) break;
    const Tensor logits = decoder.step(sequences, tokens);
    for (size_t row = 0; row < sequences.size(); ++row) {
      texts[static_cast<size_t>(sequences[row])].extend(row_of(logits, row), sink);
    }
  }
  std::vector<Continuation> results;
  for (const Writing& text : texts) results.push_back(text.result());
  return results;
}

}  // namespace reformer
