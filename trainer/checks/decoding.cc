#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "trainer/checks/check.h"
#include "trainer/checks/check_model.h"
#include "trainer/checks/forward_buckets.h"
#include "trainer/model/decoder.h"

namespace reformer {
namespace {

constexpr double kTolerance = 1e-4;  // of the largest logit of a token

/// A text, how much of it is read at once, and what the forward pass makes of it.
struct Text {
  Text(const CheckModel& model, int64_t length, int64_t prompt_tokens)
      : prompt(prompt_tokens), buckets(length) {
    for (int64_t i = 0; i < length; ++i) {
      tokens.push_back(static_cast<int32_t>((i * i + 3 * i) % model.state().spec.vocabulary));
    }
    logits = model.logits(tokens, [&](const ObservedAttention& observed) {
      buckets.observe(model.state().backend, observed);
    });
  }

  std::vector<int32_t> tokens;
  int64_t prompt;
  ForwardBuckets buckets;
  Tensor logits;  // [T, vocabulary]
};

/// Decodes all texts side by side.
class Decoding {
 public:
  Decoding(const CheckModel& model, const std::vector<Text>& texts)
      : texts_(texts),
        decoder_({.backend = model.state().backend,
                  .arena = model.arena(),
                  .spec = model.state().spec,
                  .parameters = model.state().parameters,
                  .rotations = model.rotations(),
                  .sequences = static_cast<int64_t>(texts.size()),
                  .capacity = model.state().spec.max_length}) {
    decoder_.set_hash_hook([this](int layer, int64_t sequence, std::span<int32_t> bucket_of) {
      const std::vector<int32_t> forward =
          texts_[static_cast<size_t>(sequence)].buckets.of(layer, decoder_.length(sequence));
      for (size_t i = 0; i < forward.size(); ++i) {
        flips_ += bucket_of[i] != forward[i];
        ++hashes_;
        bucket_of[i] = forward[i];  // so that one flip does not hide the next
      }
    });
  }

  void run() {
    for (size_t i = 0; i < texts_.size(); ++i) {
      const auto prompt = std::span(texts_[i].tokens).first(static_cast<size_t>(texts_[i].prompt));
      compare(decoder_.prefill(static_cast<int64_t>(i), prompt), {static_cast<int32_t>(i)});
    }
    while (step()) {
    }
  }

  double worst() const { return worst_; }
  int64_t flips() const { return flips_; }
  int64_t hashes() const { return hashes_; }
  int64_t faults() const { return decoder_.faults(); }

 private:
  bool step() {
    std::vector<int32_t> sequences;
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < texts_.size(); ++i) {
      const auto length = static_cast<size_t>(decoder_.length(static_cast<int64_t>(i)));
      if (length == texts_[i].tokens.size()) continue;
      sequences.push_back(static_cast<int32_t>(i));
      tokens.push_back(texts_[i].tokens[length]);
    }
    if (sequences.empty()) return false;
    compare(decoder_.step(sequences, tokens), sequences);
    return true;
  }

  void compare(const Tensor& logits, const std::vector<int32_t>& sequences) {
    const int64_t width = logits.shape()[1];
    for (size_t row = 0; row < sequences.size(); ++row) {
      const int64_t position = decoder_.length(sequences[row]) - 1;
      const float* const actual = logits.data<float>() + static_cast<int64_t>(row) * width;
      const float* const expected =
          texts_[static_cast<size_t>(sequences[row])].logits.data<float>() + position * width;
      float largest = 0;
      float error = 0;
      for (int64_t i = 0; i < width; ++i) {
        largest = std::max(largest, std::abs(expected[i]));
        const float difference = std::abs(actual[i] - expected[i]);
        error = std::isfinite(difference) ? std::max(error, difference) : HUGE_VALF;
        if (!std::isfinite(error)) break;
      }
      worst_ = std::max(worst_, static_cast<double>(error / largest));
    }
  }

  const std::vector<Text>& texts_;
  Decoder decoder_;
  double worst_ = 0;
  int64_t flips_ = 0;
  int64_t hashes_ = 0;
};

}  // namespace

CheckResult check_decoding(Backend& backend) {
  RunConfig config = check_config();
  // In CHUNKED layers earlier tokens see later ones, which a decoder cannot.
  config.model.layers[2].attention.kind = AttentionKind::kStrict;
  const CheckModel model(config, backend);
  std::vector<Text> texts;
  texts.emplace_back(model, 150, 1);
  texts.emplace_back(model, 120, 64);
  texts.emplace_back(model, 97, 33);
  Decoding decoding(model, texts);
  decoding.run();
  return {.name = "decoding equals the forward pass",
          .holds = decoding.worst() <= kTolerance && decoding.faults() == 0,
          .detail = fmt::format("{} texts, worst logit {:.2g}, allowed {}; {} of {} hashes flip",
                                texts.size(), decoding.worst(), kTolerance, decoding.flips(),
                                decoding.hashes())};
}

}  // namespace reformer
