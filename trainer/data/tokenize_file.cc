#include "trainer/data/tokenize_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <future>
#include <memory>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "trainer/data/text_cut.h"

namespace reformer {
namespace {

constexpr size_t kChunkOfThread = size_t{1} << 20;
// A line that is still not over is encoded in parts.
constexpr size_t kLongestLine = size_t{1} << 22;

[[noreturn]] void fail(const std::string& path) {
  throw DataError(fmt::format("{}: {}", path, std::strerror(errno)));
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

/// Bytes of `text` that can be encoded whatever follows: whole lines.
size_t complete_part(std::string_view text) {
  const size_t line_end = text.rfind('\n');
  if (line_end != std::string_view::npos) return line_end + 1;
  return text.size() < kLongestLine ? 0 : cut_before_word(text, kLongestLine - 1);
}

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
  if (std::filesystem::is_directory(path)) {
    throw DataError(fmt::format("{}: is a directory, not a file", path));
  }
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rb"));
  if (file == nullptr) fail(path);
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
  while (const size_t got = std::fread(chunk.data(), 1, chunk.size(), file.get())) {
    if (options.stop != nullptr && options.stop->load()) return false;
    text.append(chunk.data(), got);
    const size_t complete = complete_part(text);
    encode(std::string_view(text).substr(0, complete));
    text.erase(0, complete);
  }
  if (std::ferror(file.get())) fail(path);
  encode(text);
  return true;
}

}  // namespace reformer
