#include "trainer/data/sentencepiece_tokenizer.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include "kernels/core/check.h"
#include "kernels/core/errors.h"
#include "trainer/data/text_cut.h"

namespace reformer {
namespace {

using sentencepiece::SentencePieceProcessor;

constexpr std::string_view kSpace = "\u2581";  // what the library writes for a space
// The library searches a whole line at once, in memory that grows with it.
constexpr size_t kLongestLine = size_t{1} << 14;

/// The text that piece `id` stands for.
std::string text_of(const SentencePieceProcessor& processor, int id) {
  if (processor.IsControl(id) || processor.IsUnused(id)) return "";
  if (processor.IsUnknown(id)) return " \u2047 ";
  std::string text = processor.IdToPiece(id);
  if (processor.IsByte(id)) {  // "<0x0A>"
    return std::string(1, static_cast<char>(std::stoi(text.substr(3, 2), nullptr, 16)));
  }
  for (size_t at = text.find(kSpace); at != std::string::npos; at = text.find(kSpace, at)) {
    text.replace(at, kSpace.size(), " ");
  }
  return text;
}

}  // namespace

SentencePieceTokenizer::SentencePieceTokenizer(std::string_view model, const std::string& path)
    : path_(path), processor_(std::make_unique<SentencePieceProcessor>()) {
  if (model.empty() || !processor_->LoadFromSerializedProto(model).ok() ||
      processor_->GetPieceSize() == 0) {
    throw DataError(fmt::format("{}: is no model of sentencepiece", path));
  }
  for (int id = 0; id < processor_->GetPieceSize(); ++id) {
    texts_.push_back(text_of(*processor_, id));
    if (!line_break_ && texts_.back() == "\n") line_break_ = id;
  }
  unknown_ = processor_->unk_id();
  std::vector<int> probe;
  CHECK(processor_->Encode("a", &probe).ok());
  adds_space_ = !probe.empty() && texts_[static_cast<size_t>(probe[0])].starts_with(" ") &&
                probe[0] != unknown_;
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

std::vector<int32_t> SentencePieceTokenizer::encode(std::string_view text) const {
  std::vector<int32_t> tokens;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    encode_line(text.substr(0, end), tokens);
    if (end == text.size()) break;
    if (line_break_) tokens.push_back(*line_break_);
    text.remove_prefix(end + 1);
  }
  return tokens;
}

size_t SentencePieceTokenizer::complete_part(std::string_view text) {
  const size_t line_end = text.rfind('\n');
  size_t complete = line_end == std::string_view::npos ? 0 : line_end + 1;
  // As encode_line does it: one rule alone says where a line is cut.
  while (text.size() - complete > kLongestLine) {
    complete += cut_before_word(text.substr(complete), kLongestLine);
  }
  return complete;
}

void SentencePieceTokenizer::encode_line(std::string_view line,
                                         std::vector<int32_t>& tokens) const {
  std::vector<int> ids;
  while (!line.empty()) {
    const std::string_view part = line.substr(0, cut_before_word(line, kLongestLine));
    CHECK(processor_->Encode(part, &ids).ok());
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    line.remove_prefix(part.size());
  }
}

std::string SentencePieceTokenizer::decode(std::span<const int32_t> tokens) const {
  std::string text;
  bool at_line_start = true;
  for (const int32_t token : tokens) {
    if (token < 0 || token >= vocabulary()) continue;
    std::string_view piece = texts_[static_cast<size_t>(token)];
    if (piece.empty()) continue;
    if (at_line_start && adds_space_ && piece.starts_with(' ')) piece.remove_prefix(1);
    text += piece;
    at_line_start = token == line_break_;
  }
  return text;
}

std::string SentencePieceTokenizer::description() const {
  return fmt::format("sentencepiece model of {} pieces", vocabulary());
}

}  // namespace reformer
