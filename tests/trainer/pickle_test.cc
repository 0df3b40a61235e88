// The opcodes that torch.save writes, and the refusal of all others.
#include "trainer/weights/pickle.h"

#include <gtest/gtest.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"

namespace reformer {
namespace {

using testing::expect_contains;
using Kind = PickleValue::Kind;
using namespace std::string_literals;

Pickle parse(const std::string& opcodes) {
  const std::string text = "\x80\x02"s + opcodes;
  return Pickle({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, "file");
}

std::string refusal(const std::string& opcodes) {
  try {
    parse(opcodes);
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(PickleTest, Integers) {
  const auto integer = [](const std::string& opcodes) {
    const Pickle pickle = parse(opcodes + ".");
    EXPECT_TRUE(pickle.value().is(Kind::kInteger));
    return pickle.value().integer;
  };
  EXPECT_EQ(integer("K\xff"s), 255);
  EXPECT_EQ(integer("M\xff\xff"s), 65535);
  EXPECT_EQ(integer("J\xff\xff\xff\xff"s), -1);
  EXPECT_EQ(integer("\x8a\x00"s), 0);
  EXPECT_EQ(integer("\x8a\x01\x80"s), -128);
  EXPECT_EQ(integer("\x8a\x05\x00\x00\x00\x00\x01"s), int64_t{1} << 32);
  EXPECT_EQ(integer("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"s), INT64_MAX);
  expect_contains(refusal("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."s), "more than 64 bits");
}

std::string text(const std::string& letter) {
  return "X\x01\x00\x00\x00"s + letter;
}

TEST(PickleTest, ContainersAreFilledWhereTheyStand) {
  // {"a": (True, None), "b": the list}, and the list, which gets its elements afterwards.
  const Pickle pickle = parse("}(" + text("a") + "\x88N\x86" + text("b") + "]q\x01u" +
                              "h\x01K\x01" + "a(K\x02" + "e\x86.");
  ASSERT_TRUE(pickle.value().is(Kind::kTuple));
  const PickleValue& dictionary = *pickle.value().items[0];
  ASSERT_EQ(dictionary.items.size(), 4u);
  EXPECT_EQ(dictionary.items[0]->text, "a");
  ASSERT_EQ(dictionary.items[1]->items.size(), 2u);
  EXPECT_EQ(dictionary.items[1]->items[0]->integer, 1);
  EXPECT_TRUE(dictionary.items[1]->items[1]->is(Kind::kNone));
  EXPECT_EQ(dictionary.items[3], pickle.value().items[1]);
  ASSERT_EQ(dictionary.items[3]->items.size(), 2u);
  EXPECT_EQ(dictionary.items[3]->items[1]->integer, 2);
}

TEST(PickleTest, CallsAreKeptAsData) {
  const Pickle pickle = parse("ctorch._utils\n_rebuild_parameter\nK\x01K\x02\x86R."s);
  ASSERT_TRUE(pickle.value().is(Kind::kCall));
  EXPECT_EQ(pickle.value().items[0]->text, "torch._utils _rebuild_parameter");
  EXPECT_EQ(pickle.value().items[1]->items[1]->integer, 2);
  EXPECT_TRUE(parse("ccollections\nOrderedDict\n)R.").value().is(Kind::kDictionary));
  EXPECT_TRUE(parse("ccollections\nOrderedDict\n)R}b.").value().is(Kind::kDictionary));
  EXPECT_TRUE(parse("K\x05Q.").value().is(Kind::kPersistent));
}

TEST(PickleTest, ItTellsWhereItEnds) {
  EXPECT_EQ(parse("N.behind it").bytes(), 4u);
}

TEST(PickleTest, CirclesAreFreed) {
  EXPECT_EQ(parse("]q\x00h\x00"
                  "a."s)
                .value()
                .items.size(),
            1u);
}

TEST(PickleTest, OpcodesAndGlobalsOfOthersAreRefusedByName) {
  expect_contains(refusal("\x93."s), "file: uses the pickle opcode STACK_GLOBAL (0x93)");
  expect_contains(refusal("(ios\nsystem\n."s), "opcode INST (0x69)");
  expect_contains(refusal(")\x81."s), "opcode NEWOBJ (0x81)");
  expect_contains(refusal("\xee."s), "opcode 0xee");
  expect_contains(refusal("cos\nsystem\n."), "wants Python's os system");
  expect_contains(refusal("ctorch._utils\n_rebuild_tensor_v3\n."), "_rebuild_tensor_v3");
  expect_contains(refusal("ca\rb\nc\x1b[1m\n."), "a?b c?[1m");  // nothing for the terminal
}

TEST(PickleTest, DamageIsRefused) {
  for (const std::string& opcodes : {""s,
                                     "K"s,
                                     "."s,
                                     "X\xff\xff\xff\xff"s,
                                     "X\x05\x00\x00\x00"s + "abc.",
                                     "ctorch\n"s,
                                     "h\x00."s,
                                     "t."s,
                                     "N\x86."s,
                                     "(N\x86."s,
                                     "N(a."s,
                                     "Na."s,
                                     "]NNs."s,
                                     "}(Nu."s,
                                     "NR."s,
                                     "))R."s,
                                     "Q."s,
                                     "b."s,
                                     "Nb."s,
                                     "(q\x00"s,
                                     "(."s,
                                     "\x8a\x04\x01"s,
                                     "ccollections\nOrderedDict\nNR."s}) {
    EXPECT_NE(refusal(opcodes), "accepted") << opcodes;
  }
  expect_contains(refusal("N"), "damaged pickle, at its byte 3");
  const std::string text = "\x80\x03N.";
  EXPECT_THROW(Pickle({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, "file"),
               DataError);
}

}  // namespace
}  // namespace reformer
