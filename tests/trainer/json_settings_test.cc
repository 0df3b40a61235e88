// Settings by key: defaults, limits of run.proto, and messages that name file, key and value.
#include "trainer/weights/json_settings.h"

#include <functional>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

std::string refusal(const std::string& text, const std::function<void(JsonSettings&)>& use) {
  try {
    JsonSettings settings(text, "file");
    use(settings);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(JsonSettingsTest, ValuesAndDefaults) {
  JsonSettings settings(R"({"a": 3, "b": [4, 5], "c": 0.5, "d": true, "e": 1})", "file");
  EXPECT_EQ(settings.integer("a", 1, "model.heads"), 3);
  EXPECT_EQ(settings.integer("absent", 1, "model.heads"), 1);
  EXPECT_EQ(settings.integers("b", {}, "model.positions.shape"), (std::vector<int64_t>{4, 5}));
  EXPECT_EQ(settings.integers("absent", {7}, "model.heads"), (std::vector<int64_t>{7}));
  EXPECT_EQ(settings.real("c", 0, "model.dropout"), 0.5);
  EXPECT_EQ(settings.real("absent", 0.25, "model.dropout"), 0.25);
  EXPECT_EQ(settings.real("e", 0, "model.layer_norm_epsilon"), 1.0) << "a whole number is one";
  EXPECT_TRUE(settings.boolean("d", false));
  EXPECT_TRUE(settings.boolean("absent", true));
  EXPECT_EQ(settings.find("absent"), nullptr);
}

TEST(JsonSettingsTest, LimitsAreThoseOfTheField) {
  const auto integer = [](JsonSettings& settings) { settings.integer("a", 1, "model.heads"); };
  EXPECT_EQ(refusal(R"({"a": 1024})", integer), "accepted");
  EXPECT_EQ(refusal(R"({"a": 1025})", integer),
            "file: a 1025: is out of range, legal: whole numbers from 1 to 1024");
  EXPECT_EQ(refusal(R"({"a": 18446744073709551615})", integer),
            "file: a 18446744073709551615: is out of range, legal: whole numbers from 1 to 1024");
  EXPECT_EQ(refusal(R"({"a": "1"})", integer),
            "file: a \"1\": is no whole number, legal: whole numbers from 1 to 1024");
  const auto list = [](JsonSettings& settings) { settings.integers("a", {}, "model.heads"); };
  EXPECT_EQ(refusal(R"({"a": [1, 0]})", list),
            "file: a [1,0]: is out of range, legal: whole numbers from 1 to 1024");
  EXPECT_EQ(refusal(R"({"a": []})", list), "file: a []: is no list, legal: a list of numbers");
  const auto real = [](JsonSettings& settings) { settings.real("a", 0, "model.dropout"); };
  EXPECT_EQ(refusal(R"({"a": 1})", real),
            "file: a 1: is out of range, legal: numbers of at least 0 and at most 0.99");
  EXPECT_EQ(refusal(R"({"a": null})", real),
            "file: a null: is no number, legal: numbers of at least 0 and at most 0.99");
}

TEST(JsonSettingsTest, AValueThatMustBeIsRequired) {
  const auto require = [](JsonSettings& settings) {
    settings.require("a", 1, 1, "cannot be");
    settings.require("b", nullptr, "x", "is another");
  };
  EXPECT_EQ(refusal(R"({"b": "x"})", require), "accepted");
  EXPECT_EQ(refusal(R"({"b": "x", "a": 2})", require), "file: a 2: cannot be, legal: 1");
  EXPECT_EQ(refusal("{}", require), "file: b left out: is another, legal: \"x\"");
}

TEST(JsonSettingsTest, KeysThatNobodyAskedForAreUnknown) {
  JsonSettings settings(R"({"a": 1, "b": 1, "c": 1, "d": 1})", "file");
  settings.find("a");
  settings.integer("c", 1, "model.heads");
  EXPECT_EQ(settings.unknown_keys("x b y"), (std::vector<std::string>{"d"}));
}

TEST(JsonSettingsTest, OtherTextIsRefusedInOneLine) {
  for (const char* const text : {"", "{", "[]", "7", "{\"a\": 1,}", "\xff"}) {
    EXPECT_EQ(refusal(text, [](JsonSettings&) {}),
              "file: is no JSON object, legal: settings by name");
  }
  const std::string long_text = "{\"a\": \"" + std::string(100000, 'x') + "\"}";
  EXPECT_EQ(refusal(long_text, [](JsonSettings& settings) { settings.boolean("a", true); }),
            "file: a …: is neither true nor false, legal: true or false");
}

}  // namespace
}  // namespace reformer
