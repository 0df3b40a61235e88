// Tokens with all heads against all tokens with some heads, element by element.
#include "trainer/model/sequence/head_transposition.h"

#include <gtest/gtest.h>

#include "comm/threads.h"
#include "tests/kernels/row_testing.h"
#include "tests/trainer/model_testing.h"

namespace reformer {
namespace {

using testing::same_bits;
using testing::small_spec;
using testing::TestModel;

constexpr int64_t kWidth = 3;
// Uneven, one of them empty, and not from the start of the sequence.
const std::vector<Slice> kTokens{{10, 14}, {14, 14}, {14, 21}};
constexpr int64_t kLength = 11;

float element(int64_t token, int64_t head, int64_t column) {
  return static_cast<float>((token * 100 + head) * 10 + column);
}

/// [tokens, heads · D] of tokens counted from the first.
Tensor elements_of(Slice tokens, Slice heads) {
  Tensor values(DType::kFloat32, {tokens.elements(), heads.elements() * kWidth});
  float* next = values.data<float>();
  for (int64_t token = tokens.begin; token < tokens.end; ++token) {
    for (int64_t head = heads.begin; head < heads.end; ++head) {
      for (int64_t column = 0; column < kWidth; ++column) *next++ = element(token, head, column);
    }
  }
  return values;
}

/// There and back, in `pieces` pieces.
void expect_transposition(int64_t heads, int pieces) {
  run_as_threads(3, [&](Communicator& group) {
    ModelSpec spec = small_spec({AttentionKind::kFull});
    spec.layers[0].attention.heads = heads;
    spec.layers[0].attention.head_dim = kWidth;
    const TestModel model(spec);
    const Slice own = kTokens[static_cast<size_t>(group.rank())];
    const Pass pass = model.pass(1, std::max<int64_t>(1, own.elements()));
    const HeadTransposition transposition(pass, 0, group, kTokens);
    EXPECT_EQ(transposition.pieces(), pieces);
    EXPECT_EQ(transposition.length(), kLength);

    const Tensor x = elements_of({own.begin - 10, own.end - 10}, {0, heads});
    const View packed = transposition.pack(x.view());
    const View returned = transposition.allocate_packed();
    int64_t next = transposition.own_heads().begin;
    for (int piece = 0; piece < pieces; ++piece) {
      const Slice part = transposition.own_heads(piece);
      EXPECT_EQ(part.begin, next);
      next = part.end;
      const Tensor whole(DType::kFloat32, {kLength, part.elements() * kWidth});
      transposition.start_in(packed, piece, whole.view()).wait();
      EXPECT_TRUE(same_bits(whole.view(), elements_of({0, kLength}, part).view()));
      transposition.start_out(whole.view(), piece, returned).wait();
    }
    EXPECT_EQ(next, transposition.own_heads().end);
    const Tensor back(DType::kFloat32, x.shape());
    transposition.unpack(returned, back.view());
    EXPECT_TRUE(same_bits(back.view(), x.view()));
  });
}

TEST(HeadTranspositionTest, EveryRankGetsItsHeadsOfAllTokensAndReturnsThem) {
  expect_transposition(6, 2);
  expect_transposition(7, 2);
  expect_transposition(4, 2);
  expect_transposition(3, 1);
  expect_transposition(2, 1);
}

TEST(HeadTranspositionTest, GathersTheMaskOfEverySample) {
  run_as_threads(2, [&](Communicator& group) {
    const TestModel model(small_spec({AttentionKind::kFull}));
    const std::vector<Slice> tokens{{0, 2}, {2, 5}};
    const Pass pass = model.pass(2, tokens[static_cast<size_t>(group.rank())].elements());
    const HeadTransposition transposition(pass, 0, group, tokens);
    EXPECT_FALSE(transposition.gather_mask({}).defined());
    uint8_t of_rank_0[] = {1, 0, 0, 1};
    uint8_t of_rank_1[] = {0, 1, 1, 1, 0, 0};
    const View mask = group.rank() == 0 ? View(of_rank_0, DType::kUint8, {2, 2})
                                        : View(of_rank_1, DType::kUint8, {2, 3});
    uint8_t expected[] = {1, 0, 0, 1, 1, 0, 1, 1, 0, 0};
    EXPECT_TRUE(same_bits(transposition.gather_mask(mask), View(expected, DType::kUint8, {2, 5})));
  });
}

}  // namespace
}  // namespace reformer
