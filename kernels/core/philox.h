// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a counter
// based generator. Every random number of a run is a pure function of a key and a counter that name
// what it is for, so a replay needs no state and no layout of ranks changes a draw.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace reformer {

struct PhiloxKey {
  uint32_t lo = 0;
  uint32_t hi = 0;
};

using PhiloxBlock = std::array<uint32_t, 4>;

inline constexpr uint32_t kPhiloxM0 = 0xD2511F53u;
inline constexpr uint32_t kPhiloxM1 = 0xCD9E8D57u;
inline constexpr uint32_t kPhiloxW0 = 0x9E3779B9u;
inline constexpr uint32_t kPhiloxW1 = 0xBB67AE85u;
inline constexpr int kPhiloxRounds = 10;

inline PhiloxBlock philox(PhiloxKey key, PhiloxBlock counter) {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint64_t p0 = uint64_t{kPhiloxM0} * counter[0];
    const uint64_t p1 = uint64_t{kPhiloxM1} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ key.lo, static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ key.hi, static_cast<uint32_t>(p0)};
    key.lo += kPhiloxW0;
    key.hi += kPhiloxW1;
  }
  return counter;
}

/// What a stream of random numbers is for. Part of every key, so that no two uses share a stream.
enum class RandomUse : uint32_t {
  kInitialization = 1,
  kSampling = 2,
  kRotation = 3,
  kDropout = 4,
  kTask = 5,
  kGeneration = 6,
  kProbe = 7,
};

/// Key for (seed, use, step, index); `index` tells apart the streams of one use in one step, for
/// example (layer, site). Distinct arguments give unrelated keys.
inline PhiloxKey make_key(uint64_t seed, RandomUse use, uint64_t step, uint32_t index) {
  const PhiloxKey outer{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  const PhiloxBlock mixed =
      philox(outer, {static_cast<uint32_t>(step), static_cast<uint32_t>(step >> 32), index,
                     static_cast<uint32_t>(use)});
  return {mixed[0], mixed[1]};
}

/// Uniform in (0, 1], never 0.
inline float uniform_from_bits(uint32_t bits) {
  return (static_cast<float>(bits >> 8) + 1.0f) * 0x1p-24f;
}

/// Two independent standard normal numbers from two words (Box and Muller).
inline std::array<float, 2> normal_pair(uint32_t a, uint32_t b) {
  const double radius = std::sqrt(-2.0 * std::log(static_cast<double>(uniform_from_bits(a))));
  const double angle = 2.0 * std::numbers::pi * static_cast<double>(b) * 0x1p-32;
  return {static_cast<float>(radius * std::cos(angle)),
          static_cast<float>(radius * std::sin(angle))};
}

/// Four independent standard normal numbers from one block.
inline std::array<float, 4> normal_quad(const PhiloxBlock& bits) {
  const auto [a, b] = normal_pair(bits[0], bits[1]);
  const auto [c, d] = normal_pair(bits[2], bits[3]);
  return {a, b, c, d};
}

/// Uniform integer in [0, bound) from 64 random bits, by multiplication; bias below bound / 2^64.
inline uint64_t bounded(uint64_t bits, uint64_t bound) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((Wide{bits} * bound) >> 64);
}

/// The same from the first 64 bits of a block.
inline uint64_t bounded(const PhiloxBlock& bits, uint64_t bound) {
  return bounded(uint64_t{bits[0]} << 32 | bits[1], bound);
}

}  // namespace reformer
