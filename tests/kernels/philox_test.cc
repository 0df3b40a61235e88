#include "kernels/core/philox.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace reformer {
namespace {

// kat_vectors of Random123, the authors' own library.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox({0, 0}, {0, 0, 0, 0}),
            (PhiloxBlock{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  EXPECT_EQ(
      philox({0xffffffffu, 0xffffffffu}, {0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu}),
      (PhiloxBlock{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
  EXPECT_EQ(
      philox({0xa4093822u, 0x299f31d0u}, {0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}),
      (PhiloxBlock{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}));
}

int different_bits(const PhiloxBlock& a, const PhiloxBlock& b) {
  int count = 0;
  for (size_t word = 0; word < a.size(); ++word) count += std::popcount(a[word] ^ b[word]);
  return count;
}

TEST(Philox, EveryBitOfKeyAndCounterMatters) {
  const PhiloxKey key{12, 34};
  const PhiloxBlock counter{1, 2, 3, 4};
  const PhiloxBlock block = philox(key, counter);
  // 128 fair coins: 64 ± 5.7, and 30 is six deviations away.
  for (int bit = 0; bit < 32; ++bit) {
    for (size_t word = 0; word < 4; ++word) {
      PhiloxBlock flipped = counter;
      flipped[word] ^= 1u << bit;
      EXPECT_NEAR(different_bits(block, philox(key, flipped)), 64, 30);
    }
    EXPECT_NEAR(different_bits(block, philox({key.lo ^ 1u << bit, key.hi}, counter)), 64, 30);
    EXPECT_NEAR(different_bits(block, philox({key.lo, key.hi ^ 1u << bit}, counter)), 64, 30);
  }
}

TEST(MakeKey, DistinctArgumentsGiveDistinctKeys) {
  const uint64_t numbers[] = {0,
                              1,
                              2,
                              3,
                              1u << 31,
                              uint64_t{1} << 32,
                              uint64_t{3} << 32,
                              std::numeric_limits<uint64_t>::max()};
  std::set<std::pair<uint32_t, uint32_t>> keys;
  size_t made = 0;
  for (const uint64_t seed : numbers) {
    for (const auto use : {RandomUse::kInitialization, RandomUse::kSampling, RandomUse::kRotation,
                           RandomUse::kDropout, RandomUse::kTask}) {
      for (const uint64_t step : numbers) {
        for (const uint32_t index : {0u, 1u, 2u, 1u << 16, 0xffffffffu}) {
          const PhiloxKey key = make_key(seed, use, step, index);
          keys.insert({key.lo, key.hi});
          ++made;
        }
      }
    }
  }
  EXPECT_EQ(keys.size(), made);
}

TEST(MakeKey, IsAFunctionOfItsArguments) {
  const PhiloxKey a = make_key(7, RandomUse::kDropout, 5, 3);
  const PhiloxKey b = make_key(7, RandomUse::kDropout, 5, 3);
  EXPECT_EQ(a.lo, b.lo);
  EXPECT_EQ(a.hi, b.hi);
  // The definition, so that runs of earlier versions can be replayed.
  const PhiloxBlock mixed = philox({7, 0}, {5, 0, 3, 4});
  EXPECT_EQ(a.lo, mixed[0]);
  EXPECT_EQ(a.hi, mixed[1]);
}

TEST(Uniform, IsNeverZero) {
  EXPECT_EQ(uniform_from_bits(0), 0x1p-24f);
  EXPECT_EQ(uniform_from_bits(0xff), 0x1p-24f);
  EXPECT_EQ(uniform_from_bits(0x100), 0x1p-23f);
  EXPECT_EQ(uniform_from_bits(0x7fffffffu), 0.5f);
  EXPECT_EQ(uniform_from_bits(0xffffffffu), 1.0f);
}

TEST(Normal, KnownPairs) {
  const float radius = static_cast<float>(std::sqrt(2 * std::log(2.0)));  // of a uniform 1/2
  const auto [east, zero] = normal_pair(0x7fffffffu, 0);
  EXPECT_FLOAT_EQ(east, radius);
  EXPECT_EQ(zero, 0.0f);
  const auto [no_east, north] = normal_pair(0x7fffffffu, 1u << 30);  // a quarter turn
  EXPECT_NEAR(no_east, 0.0, 1e-7);
  EXPECT_FLOAT_EQ(north, radius);
  // The largest and the smallest radius are finite.
  EXPECT_FLOAT_EQ(normal_pair(0, 0)[0], static_cast<float>(std::sqrt(48 * std::log(2.0))));
  EXPECT_EQ(normal_pair(0xffffffffu, 12345)[0], 0.0f);
}

TEST(Normal, QuadsAreTwoPairs) {
  const PhiloxBlock bits = philox({1, 2}, {3, 4, 5, 6});
  const auto first = normal_pair(bits[0], bits[1]);
  const auto second = normal_pair(bits[2], bits[3]);
  EXPECT_EQ(normal_quad(bits), (std::array<float, 4>{first[0], first[1], second[0], second[1]}));
}

TEST(Normal, Moments) {
  constexpr uint32_t kPairs = 200000;
  double moments[5] = {};
  double product = 0;
  int within_one = 0;
  for (uint32_t i = 0; i < kPairs; ++i) {
    const PhiloxBlock bits = philox(make_key(99, RandomUse::kInitialization, 0, 0), {i, 0, 0, 0});
    const auto pair = normal_pair(bits[0], bits[1]);
    product += static_cast<double>(pair[0]) * static_cast<double>(pair[1]);
    for (const float value : pair) {
      double power = 1;
      for (double& moment : moments) {
        moment += power;
        power *= static_cast<double>(value);
      }
      within_one += std::abs(value) < 1.0f ? 1 : 0;
    }
  }
  const double count = moments[0];
  // Five standard errors each: the variances of x, x², x³ and x⁴ are 1, 2, 15 and 96.
  const auto bound = [count](double variance) { return 5 * std::sqrt(variance / count); };
  EXPECT_NEAR(moments[1] / count, 0, bound(1));
  EXPECT_NEAR(moments[2] / count, 1, bound(2));
  EXPECT_NEAR(moments[3] / count, 0, bound(15));
  EXPECT_NEAR(moments[4] / count, 3, bound(96));
  EXPECT_NEAR(product / kPairs, 0, 5 / std::sqrt(double{kPairs}));
  EXPECT_NEAR(within_one / count, 0.682689, bound(0.217));
}

TEST(Bounded, CoversItsRangeEvenly) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  for (const uint64_t bound : {uint64_t{1}, uint64_t{2}, uint64_t{7}, uint64_t{1} << 40, kMax}) {
    EXPECT_EQ(bounded(0, bound), 0u);
    EXPECT_EQ(bounded(kMax, bound), bound - 1);
  }
  EXPECT_EQ(bounded(uint64_t{1} << 63, 1000), 500u);
  EXPECT_EQ(bounded((uint64_t{1} << 63) - 1, 1000), 499u);

  constexpr uint64_t kBound = 6;
  constexpr uint32_t kDraws = 60000;
  std::vector<int> counts(kBound);
  for (uint32_t i = 0; i < kDraws; ++i) {
    const PhiloxBlock bits = philox({3, 4}, {i, 0, 0, 0});
    ++counts[bounded(uint64_t{bits[0]} << 32 | bits[1], kBound)];
  }
  for (const int count : counts) EXPECT_NEAR(count, 10000, 460);  // five deviations
}

}  // namespace
}  // namespace reformer
