#include "trainer/generation/text_stream.h"

#include <algorithm>
#include <string_view>

#include "kernels/core/check.h"

namespace reformer {
namespace {

// Tokens that are decoded together with a new one. What a token adds to a text depends on whether
// something stands before it, not on how much.
constexpr size_t kContextTokens = 8;

}  // namespace

TextStream::TextStream(const Tokenizer& tokenizer, std::span<const int32_t> prompt,
                       const std::vector<std::string>& stop)
    : tokenizer_(tokenizer) {
  const std::span<const int32_t> end = prompt.last(std::min(prompt.size(), kContextTokens));
  recent_.assign(end.begin(), end.end());
  std::copy_if(stop.begin(), stop.end(), std::back_inserter(stop_),
               [](const std::string& sequence) { return !sequence.empty(); });
}

std::string TextStream::add(int32_t token) {
  CHECK(!stopped_);
  pending_ += text_of(token);
  size_t end = std::string::npos;
  for (const std::string& sequence : stop_) end = std::min(end, pending_.find(sequence));
  if (end != std::string::npos) {
    stopped_ = true;
    pending_.resize(end);
    return finish();
  }
  const size_t certain = pending_.size() - held_back();
  const std::string text = pending_.substr(0, certain);
  pending_.erase(0, certain);
  return text;
}

std::string TextStream::finish() {
  std::string text;
  text.swap(pending_);
  return text;
}

std::string TextStream::text_of(int32_t token) {
  const size_t before = tokenizer_.decode(recent_).size();
  recent_.push_back(token);
  std::string text = tokenizer_.decode(recent_).substr(before);
  if (recent_.size() > kContextTokens) recent_.erase(recent_.begin());
  return text;
}

/// Bytes at the end of the pending text that a stop sequence begins with.
size_t TextStream::held_back() const {
  size_t longest = 0;
  for (const std::string& sequence : stop_) {
    for (size_t size = std::min(sequence.size(), pending_.size()); size > longest; --size) {
      if (std::string_view(pending_).ends_with(std::string_view(sequence).substr(0, size))) {
        longest = size;
      }
    }
  }
  return longest;
}

}  // namespace reformer
