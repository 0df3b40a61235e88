// What can be wrong with the data section of a configuration, and the exact line that says so.
#include <set>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/trainer/config_testing.h"

namespace reformer {
namespace {

using testing::error_after_data;
using testing::error_of;

TEST(ConfigData, FieldsWithoutEffect) {
  EXPECT_EQ(error_of("data { path: \"a\" symbols: 127 }"),
            "t.txtpb:1: data.symbols: has no effect, since data.source is BYTES, legal: leave it "
            "out");
  EXPECT_EQ(error_of("data { path: \"a\" validation_share: 0.1 train { end: 5 }\n validation { "
                     "begin: 5 } }"),
            "t.txtpb:1: data.validation_share: has no effect, since data.train and data.validation "
            "are given, legal: leave it out");
}

// Each field under each source: refused where it does nothing, and only there.
TEST(ConfigData, EveryFieldHasAnEffectOrIsRefused) {
  struct Field {
    std::string text;
    std::set<std::string> sources;
  };
  const std::set<std::string> files = {"BYTES", "TOKENS", "CHARACTERS", "RECORDS"};
  const std::set<std::string> tasks = {"DUPLICATION", "INCREMENT", "RETRIEVAL"};
  const Field fields[] = {{"path: \"a\"", files},
                          {"validation_share: 0.1", files},
                          {"train { }", files},
                          {"validation { }", files},
                          {"symbols: 9", tasks},
                          {"byte_offset: 0", {"BYTES", "RECORDS"}},
                          {"max_stride: 1", {"INCREMENT"}},
                          {"pairs: 1", {"RETRIEVAL"}},
                          {"value_length: 1", {"RETRIEVAL"}},
                          {"queries: 1", {"RETRIEVAL"}},
                          {"alphabet: \"ab\"", {"CHARACTERS"}},
                          {"fold_case: true", {"CHARACTERS"}},
                          {"header_mark: \"#\"", {"CHARACTERS"}}};
  for (const Field& field : fields) {
    const std::string name = field.text.substr(0, field.text.find_first_of(": "));
    std::set<std::string> accepting;
    for (const auto& all : {files, tasks}) {
      for (const std::string& source : all) {
        const std::string error = error_of("data { source: " + source + "\n " + field.text + " }");
        const std::string inert = fmt::format(
            "t.txtpb:2: data.{}: has no effect, since data.source is {}, legal: leave "
            "it out",
            name, source);
        if (error != inert) accepting.insert(source);
      }
    }
    EXPECT_EQ(accepting, field.sources) << name;
  }
}

TEST(ConfigData, Bytes) {
  EXPECT_EQ(error_of("model { }"),
            "t.txtpb: data.path: data.path is missing, legal: a file, for data.source BYTES");
  EXPECT_EQ(error_of("model { }\ndata { length: 9 }"),
            "t.txtpb:2: data: data.path is missing, legal: a file, for data.source BYTES");
  EXPECT_EQ(error_of("data { path: \"\" }"),
            "t.txtpb:1: data.path: data.path is missing, legal: a file, for data.source BYTES");
  EXPECT_EQ(error_after_data("model { vocabulary: 255 }"),
            "t.txtpb:2: model.vocabulary: model.vocabulary 255 is too small for bytes, legal: at "
            "least 256");
  EXPECT_EQ(error_of("data { path: \"a\"\n byte_offset: 2 }"),
            "t.txtpb:2: data.byte_offset: model.vocabulary 256 is too small for bytes, legal: at "
            "least 258");
  EXPECT_EQ(error_of("data { path: \"a\" byte_offset: 2 } model { vocabulary: 258 }"), "accepted");
}

TEST(ConfigData, EverySourceOfFilesNeedsAPath) {
  EXPECT_EQ(
      error_of("data { source: TOKENS }"),
      "t.txtpb:1: data.source: data.path is missing, legal: a folder, for data.source TOKENS");
  EXPECT_EQ(error_of("data { source: CHARACTERS alphabet: \"ab\" }"),
            "t.txtpb:1: data.source: data.path is missing, legal: a file, for data.source "
            "CHARACTERS");
  EXPECT_EQ(error_of("data { source: RECORDS }"),
            "t.txtpb:1: data.source: data.path is missing, legal: a file, for data.source RECORDS");
  EXPECT_EQ(error_of("data { source: TOKENS path: \"a\" } model { vocabulary: 1 }"), "accepted");
  EXPECT_EQ(error_of("data { source: RECORDS path: \"a\" }"), "accepted");
  EXPECT_EQ(error_of("data { source: RECORDS path: \"a\" }\nmodel { vocabulary: 255 }"),
            "t.txtpb:2: model.vocabulary: model.vocabulary 255 is too small for bytes, legal: at "
            "least 256");
}

TEST(ConfigData, Characters) {
  const auto error = [](const std::string& fields) {
    return error_of("data { source: CHARACTERS path: \"a\"\n" + fields + " }");
  };
  EXPECT_EQ(error(""),
            "t.txtpb:1: data.source: data.alphabet is missing, legal: characters, such as "
            "\"ACGTN\", for data.source CHARACTERS");
  EXPECT_EQ(error("alphabet: \"ACGTN\""), "accepted");
  EXPECT_EQ(error("alphabet: \"ACGA\""),
            "t.txtpb:2: data.alphabet: 'A' stands there twice, legal: printable ASCII characters, "
            "each once");
  EXPECT_EQ(error("alphabet: \"aA\""), "accepted");
  EXPECT_EQ(error("alphabet: \"aA\" fold_case: true"),
            "t.txtpb:2: data.alphabet: 'A' stands there twice, legal: each letter once, in either "
            "case, with data.fold_case");
  EXPECT_EQ(error("alphabet: \"@`[{\" fold_case: true"), "accepted") << "no letters";
  for (const char* bad : {"A\\n", "A\\t", "A\\377", "A\\303\\244"}) {
    EXPECT_EQ(
        error(fmt::format("alphabet: \"{}\"", bad)),
        "t.txtpb:2: data.alphabet: character 2 is not printable ASCII, legal: printable ASCII "
        "characters, each once");
  }
  EXPECT_EQ(error("alphabet: \"AC>\""),
            "t.txtpb:2: data.alphabet: data.header_mark \">\" is in data.alphabet, legal: one "
            "character that is not in data.alphabet, or \"\"");
  EXPECT_EQ(error("alphabet: \"AC>\" header_mark: \"\""), "accepted");
  EXPECT_EQ(error("alphabet: \"AC\" header_mark: \"c\""), "accepted");
  EXPECT_EQ(error("alphabet: \"AC\" header_mark: \"c\" fold_case: true"),
            "t.txtpb:2: data.header_mark: data.header_mark \"c\" is in data.alphabet, legal: one "
            "character that is not in data.alphabet, or \"\"");
  for (const char* bad : {">;", "\\n", "\\303"}) {
    EXPECT_EQ(error(fmt::format("alphabet: \"AC\" header_mark: \"{}\"", bad)),
              "t.txtpb:2: data.header_mark: is no printable ASCII character, legal: one character "
              "that is not in data.alphabet, or \"\"");
  }
  EXPECT_EQ(error("alphabet: \"ABC\" }\nmodel { vocabulary: 2"),
            "t.txtpb:3: model.vocabulary: model.vocabulary 2 is too small for 3 characters, legal: "
            "at least 3");
}

TEST(ConfigData, RangesAreNamedByWhatTheyCount) {
  const auto error = [](const std::string& source) {
    return error_of("data { source: " + source +
                    " path: \"a\" train { end: 7 } validation { begin: 6 } }");
  };
  for (const char* unit : {"byte", "token", "record"}) {
    std::string source = unit;
    for (char& letter : source) letter = static_cast<char>(letter - 'a' + 'A');
    EXPECT_EQ(
        error(source + "S"),
        fmt::format("t.txtpb:1: data.validation: overlaps data.train from {} 6, legal: ranges "
                    "that share no {}",
                    unit, unit));
  }
  EXPECT_EQ(error("CHARACTERS alphabet: \"a\""),
            "t.txtpb:1: data.validation: overlaps data.train from character 6, legal: ranges that "
            "share no character");
}

TEST(ConfigData, Ranges) {
  const auto error = [](const std::string& ranges) {
    return error_of("data { path: \"a\"\n" + ranges + " }");
  };
  EXPECT_EQ(error("train { end: 5 }"),
            "t.txtpb:2: data.train: given without data.validation, legal: both or neither");
  EXPECT_EQ(error("validation { begin: 5 }"),
            "t.txtpb:2: data.validation: given without data.train, legal: both or neither");
  EXPECT_EQ(error("train { begin: 7 end: 7 } validation { end: 5 }"),
            "t.txtpb:2: data.train.end: bytes 7 to 7 are none, legal: an end above 7, or 0 for the "
            "end of the file");
  EXPECT_EQ(
      error("train { end: 7 } validation { begin: 9\n end: 8 }"),
      "t.txtpb:3: data.validation.end: bytes 9 to 8 are none, legal: an end above 9, or 0 for "
      "the end of the file");
  EXPECT_EQ(error("train { end: 7 }\nvalidation { begin: 6 }"),
            "t.txtpb:3: data.validation: overlaps data.train from byte 6, legal: ranges that share "
            "no byte");
  EXPECT_EQ(error("train { begin: 3 }\nvalidation { }"),
            "t.txtpb:3: data.validation: overlaps data.train from byte 3, legal: ranges that share "
            "no byte");
  EXPECT_EQ(error("train { end: 7 } validation { begin: 7 }"), "accepted");
  EXPECT_EQ(error("train { begin: 7 } validation { end: 7 }"), "accepted");
}

TEST(ConfigData, Duplication) {
  EXPECT_EQ(error_of("data { source: DUPLICATION\n length: 1023 }"),
            "t.txtpb:2: data.length: data.length 1023 cannot hold 0w0w, legal: even numbers of at "
            "least 4");
  EXPECT_EQ(error_of("data { source: DUPLICATION length: 2 }"),
            "t.txtpb:1: data.length: data.length 2 cannot hold 0w0w, legal: even numbers of at "
            "least 4");
  EXPECT_EQ(error_of("data { source: DUPLICATION symbols: 256 }"),
            "t.txtpb:1: data.symbols: model.vocabulary 256 is too small for 0 and 256 symbols, "
            "legal: at least 257");
  EXPECT_EQ(error_of("data { source: DUPLICATION }\nmodel { vocabulary: 127 }"),
            "t.txtpb:2: model.vocabulary: model.vocabulary 127 is too small for 0 and 127 symbols, "
            "legal: at least 128");
  EXPECT_EQ(error_of("data { source: DUPLICATION length: 4 } model { vocabulary: 128 }"),
            "accepted");
}

TEST(ConfigData, Increment) {
  EXPECT_EQ(
      error_of("data { source: INCREMENT\n length: 3 }"),
      "t.txtpb:2: data.length: data.length 3 leaves nothing to predict, legal: at least 4 for "
      "INCREMENT");
  EXPECT_EQ(
      error_of("data { source: INCREMENT symbols: 5\n max_stride: 5 }"),
      "t.txtpb:2: data.max_stride: data.max_stride 5 goes around 5 symbols, legal: fewer than "
      "data.symbols");
  EXPECT_EQ(error_of("data { source: INCREMENT symbols: 256 }"),
            "t.txtpb:1: data.symbols: model.vocabulary 256 is too small for 0 and 256 symbols, "
            "legal: at least 257");
  EXPECT_EQ(error_of("data { source: INCREMENT symbols: 5 max_stride: 4 length: 4 }"), "accepted");
}

TEST(ConfigData, Retrieval) {
  const auto error = [](const std::string& fields) {
    return error_of("data { source: RETRIEVAL length: 64 symbols: 8\n" + fields + " }");
  };
  EXPECT_EQ(
      error("pairs: 9"),
      "t.txtpb:2: data.pairs: data.pairs 9 need more keys than data.symbols 8, legal: at most "
      "8");
  EXPECT_EQ(error("pairs: 3 queries: 4"),
            "t.txtpb:2: data.queries: data.queries 4 exceed data.pairs 3, legal: at most 3");
  EXPECT_EQ(error("pairs: 8 value_length: 4 queries: 5"),
            "t.txtpb:1: data.length: data.length 64 cannot hold 8 pairs and 5 questions, legal: at "
            "least 70");
  EXPECT_EQ(error("pairs: 8 value_length: 4 queries: 4"), "accepted");
  EXPECT_EQ(error_of("data { source: RETRIEVAL symbols: 85 }"), "accepted");
  EXPECT_EQ(error_of("data { source: RETRIEVAL symbols: 86 }"),
            "t.txtpb:1: data.symbols: model.vocabulary 256 is too small for 0, 86 keys, 86 symbols "
            "of values and 86 of the filler, legal: at least 259");
}

}  // namespace
}  // namespace reformer
