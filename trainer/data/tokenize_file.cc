#include "trainer/data/tokenize_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "trainer/data/text_cut.h"

namespace reformer {
namespace {

constexpr size_t kChunk = size_t{1} << 20;
// A line that is still not over is encoded in parts.
constexpr size_t kLongestLine = size_t{1} << 24;

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

}  // namespace

void tokenize_file(const std::string& path, const SentencePieceTokenizer& tokenizer,
                   TokenShardWriter& writer, TokenizeTotals& totals) {
  if (std::filesystem::is_directory(path)) {
    throw DataError(fmt::format("{}: is a directory, not a file", path));
  }
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rb"));
  if (file == nullptr) fail(path);
  const auto encode = [&](std::string_view text) {
    const std::vector<int32_t> tokens = tokenizer.encode(text);
    writer.add(tokens);
    totals.bytes += static_cast<int64_t>(text.size());
    totals.tokens += static_cast<int64_t>(tokens.size());
    totals.unknown += std::count(tokens.begin(), tokens.end(), tokenizer.unknown());
  };

  std::string text;  // not encoded yet
  std::vector<char> chunk(kChunk);
  while (const size_t got = std::fread(chunk.data(), 1, chunk.size(), file.get())) {
    text.append(chunk.data(), got);
    const size_t complete = complete_part(text);
    encode(std::string_view(text).substr(0, complete));
    text.erase(0, complete);
  }
  if (std::ferror(file.get())) fail(path);
  encode(text);
}

}  // namespace reformer
