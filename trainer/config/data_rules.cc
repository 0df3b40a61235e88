#include "trainer/config/data_rules.h"

#include <algorithm>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "trainer/data/byte_tokenizer.h"
#include "trainer/data/character_tokenizer.h"
#include "trainer/data/retrieval.h"

namespace reformer {
namespace {

using config::Data;

/// What train and validation count.
const char* unit_of(Data::Source source) {
  switch (source) {
    case Data::TOKENS:
      return "token";
    case Data::CHARACTERS:
      return "character";
    case Data::RECORDS:
      return "record";
    default:
      return "byte";
  }
}

int64_t end_of(const config::Range& range) {
  return range.end() > 0 ? range.end() : INT64_MAX;
}

void check_range(const config::Range& range, const std::string& path, const char* unit,
                 const Source& source) {
  if (range.begin() < end_of(range)) return;
  source.fail({path + ".end", path + ".begin", path},
              fmt::format("{}s {} to {} are none", unit, range.begin(), range.end()),
              fmt::format("an end above {}, or 0 for the end of the file", range.begin()));
}

void check_ranges(const Data& data, const Source& source) {
  if (data.has_train() != data.has_validation()) {
    source.fail(data.has_train() ? "data.train" : "data.validation",
                data.has_train() ? "given without data.validation" : "given without data.train",
                "both or neither");
  }
  if (!data.has_train()) return;
  const char* const unit = unit_of(data.source());
  check_range(data.train(), "data.train", unit, source);
  check_range(data.validation(), "data.validation", unit, source);
  const int64_t begin = std::max(data.train().begin(), data.validation().begin());
  const int64_t end = std::min(end_of(data.train()), end_of(data.validation()));
  if (begin < end) {
    source.fail("data.validation", fmt::format("overlaps data.train from {} {}", unit, begin),
                fmt::format("ranges that share no {}", unit));
  }
}

/// What all sources that read a file have in common.
void check_file(const Data& data, const Source& source) {
  if (data.path().empty()) {
    source.fail(
        {"data.path", "data.source", "data"}, "data.path is missing",
        fmt::format("a {}, for data.source {}", data.source() == Data::TOKENS ? "folder" : "file",
                    Data::Source_Name(data.source())));
  }
  check_ranges(data, source);
}

/// Tokens are rows of tables of model.vocabulary rows; `content` says what the tokens are.
void require_vocabulary(const config::Run& run, int64_t tokens, const std::string& content,
                        const Source& source) {
  if (run.model().vocabulary() >= tokens) return;
  source.fail(
      {"model.vocabulary", "data.symbols", "data.byte_offset", "data.alphabet", "data.source"},
      fmt::format("model.vocabulary {} is too small for {}", run.model().vocabulary(), content),
      fmt::format("at least {}", tokens));
}

void check_bytes(const config::Run& run, const Source& source) {
  require_vocabulary(run, ByteTokenizer(run.data().byte_offset()).vocabulary(), "bytes", source);
}

bool is_printable(char character) {
  return ' ' <= character && character <= '~';
}

char lower_case(char c) {
  return 'A' <= c && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Whether one of `characters` counts as `character`.
bool contains(std::string_view characters, char character, bool fold_case) {
  return std::any_of(characters.begin(), characters.end(), [&](char other) {
    return fold_case ? lower_case(other) == lower_case(character) : other == character;
  });
}

void check_alphabet(const Data& data, const Source& source) {
  const std::string& alphabet = data.alphabet();
  if (alphabet.empty()) {
    source.fail({"data.alphabet", "data.source"}, "data.alphabet is missing",
                "characters, such as \"ACGTN\", for data.source CHARACTERS");
  }
  for (size_t i = 0; i < alphabet.size(); ++i) {
    if (!is_printable(alphabet[i])) {
      source.fail("data.alphabet", fmt::format("character {} is not printable ASCII", i + 1),
                  "printable ASCII characters, each once");
    }
    if (contains(std::string_view(alphabet).substr(0, i), alphabet[i], data.fold_case())) {
      source.fail("data.alphabet", fmt::format("'{}' stands there twice", alphabet[i]),
                  data.fold_case() ? "each letter once, in either case, with data.fold_case"
                                   : "printable ASCII characters, each once");
    }
  }
}

void check_characters(const config::Run& run, const Source& source) {
  const Data& data = run.data();
  check_alphabet(data, source);
  const std::string& mark = data.header_mark();
  if (mark.size() > 1 || (mark.size() == 1 && !is_printable(mark[0]))) {
    source.fail("data.header_mark", "is no printable ASCII character",
                "one character that is not in data.alphabet, or \"\"");
  }
  if (!mark.empty() && contains(data.alphabet(), mark[0], data.fold_case())) {
    source.fail({"data.header_mark", "data.alphabet"},
                fmt::format("data.header_mark \"{}\" is in data.alphabet", mark),
                "one character that is not in data.alphabet, or \"\"");
  }
  require_vocabulary(run, CharacterTokenizer(data).vocabulary(),
                     fmt::format("{} characters", data.alphabet().size()), source);
}

void check_duplication(const config::Run& run, const Source& source) {
  const Data& data = run.data();
  if (data.length() % 2 != 0 || data.length() < 4) {
    source.fail({"data.length", "data.source"},
                fmt::format("data.length {} cannot hold 0w0w", data.length()),
                "even numbers of at least 4");
  }
  require_vocabulary(run, data.symbols() + 1, fmt::format("0 and {} symbols", data.symbols()),
                     source);
}

void check_increment(const config::Run& run, const Source& source) {
  const Data& data = run.data();
  if (data.length() < 4) {
    source.fail({"data.length", "data.source"},
                fmt::format("data.length {} leaves nothing to predict", data.length()),
                "at least 4 for INCREMENT");
  }
  if (data.max_stride() >= data.symbols()) {
    source.fail(
        {"data.max_stride", "data.symbols", "data.source"},
        fmt::format("data.max_stride {} goes around {} symbols", data.max_stride(), data.symbols()),
        "fewer than data.symbols");
  }
  require_vocabulary(run, data.symbols() + 1, fmt::format("0 and {} symbols", data.symbols()),
                     source);
}

void check_retrieval(const config::Run& run, const Source& source) {
  const Data& data = run.data();
  if (data.pairs() > data.symbols()) {
    source.fail({"data.pairs", "data.symbols", "data.source"},
                fmt::format("data.pairs {} need more keys than data.symbols {}", data.pairs(),
                            data.symbols()),
                fmt::format("at most {}", data.symbols()));
  }
  if (data.queries() > data.pairs()) {
    source.fail({"data.queries", "data.pairs", "data.source"},
                fmt::format("data.queries {} exceed data.pairs {}", data.queries(), data.pairs()),
                fmt::format("at most {}", data.pairs()));
  }
  const int64_t shortest = RetrievalDataset::shortest(data);
  if (data.length() < shortest) {
    source.fail({"data.length", "data.pairs", "data.value_length", "data.queries", "data.source"},
                fmt::format("data.length {} cannot hold {} pairs and {} questions", data.length(),
                            data.pairs(), data.queries()),
                fmt::format("at least {}", shortest));
  }
  require_vocabulary(
      run, RetrievalDataset::vocabulary(data),
      fmt::format("0, {0} keys, {0} symbols of values and {0} of the filler", data.symbols()),
      source);
}

}  // namespace

void validate_data(const config::Run& run, const Source& source) {
  switch (run.data().source()) {
    case Data::BYTES:
    case Data::RECORDS:
      check_file(run.data(), source);
      return check_bytes(run, source);
    case Data::TOKENS:
      return check_file(run.data(), source);
    case Data::CHARACTERS:
      check_file(run.data(), source);
      return check_characters(run, source);
    case Data::DUPLICATION:
      return check_duplication(run, source);
    case Data::INCREMENT:
      return check_increment(run, source);
    case Data::RETRIEVAL:
      return check_retrieval(run, source);
  }
}

}  // namespace reformer
