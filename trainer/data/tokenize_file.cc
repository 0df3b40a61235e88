#include "trainer/data/tokenize_file.h"

#include <algorithm>
#include <future>
#include <optional>
#include <string_view>
#include <vector>

#include "trainer/data/input_file.h"

namespace reformer {
namespace {

constexpr size_t kChunkOfThread = size_t{1} << 20;

/// `text` in at most `count` parts of about the same size, cut after line breaks.
std::vector<std::string_view> split_lines(std::string_view text, int count) {
  std::vector<std::string_view> parts;
  for (size_t left = static_cast<size_t>(count); left > 1 && !text.empty(); --left) {
    const size_t line_end = text.find('\n', text.size() / left);
    if (line_end == std::string_view::npos) break;
    parts.push_back(text.substr(0, line_end + 1));
    text.remove_prefix(line_end + 1);
  }
  if (!text.empty()) parts.push_back(text);
  return parts;
}

}  // namespace

bool tokenize_file(const std::string& path, const SentencePieceTokenizer& tokenizer,
                   const TokenizeOptions& options, TokenShardWriter& writer,
                   TokenizeTotals& totals) {
  InputFile file(path, options.stop);
  const auto encode = [&](std::string_view text) {
    std::vector<std::future<std::vector<int32_t>>> parts;
    for (const std::string_view part : split_lines(text, options.threads)) {
      parts.push_back(
          std::async(std::launch::async, [&tokenizer, part] { return tokenizer.encode(part); }));
    }
    totals.bytes += static_cast<int64_t>(text.size());
    for (std::future<std::vector<int32_t>>& part : parts) {
      const std::vector<int32_t> tokens = part.get();
      writer.add(tokens);
      totals.tokens += static_cast<int64_t>(tokens.size());
      totals.unknown += std::count(tokens.begin(), tokens.end(), tokenizer.unknown());
    }
  };

  std::string text;  // not encoded yet
  std::vector<char> chunk(kChunkOfThread * static_cast<size_t>(options.threads));
  while (true) {
    const std::optional<size_t> got = file.read(chunk);
    if (!got) return false;
    if (*got == 0) break;
    text.append(chunk.data(), *got);
    const size_t complete = SentencePieceTokenizer::complete_part(text);
    encode(std::string_view(text).substr(0, complete));
    text.erase(0, complete);
  }
  encode(text);
  return true;
}

}  // namespace reformer
