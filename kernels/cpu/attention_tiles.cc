#include "kernels/cpu/attention_tiles.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_tiles.cc"
#include "hwy/foreach_target.h"
// Below this line everything is read again for each instruction set.
#include <algorithm>

#include "hwy/highway.h"
#include "kernels/cpu/exp-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reformer::cpu::HWY_NAMESPACE {
namespace {

using D = hn::CappedTag<float, kTileLanes>;
using DI = hn::RebindToSigned<D>;
using DU = hn::RebindToUnsigned<D>;
using V = hn::Vec<D>;
using VI = hn::Vec<DI>;
using VU = hn::Vec<DU>;

int64_t lanes() {
  return static_cast<int64_t>(hn::Lanes(D()));
}

// ---- products -------------------------------------------------------------------------------

/// kRows rows and kVectors vectors of columns of the product, held in registers.
template <size_t kRows, size_t kVectors>
HWY_INLINE void multiply_block(const TileProduct& p, int64_t row, int64_t column) {
  const D d;
  const size_t n = hn::Lanes(d);
  const float* HWY_RESTRICT a = p.a + row * p.a_row;
  const float* HWY_RESTRICT b = p.b + column;
  float* HWY_RESTRICT c = p.c + row * p.c_stride + column;
  const auto a_row = static_cast<size_t>(p.a_row);
  const auto c_stride = static_cast<size_t>(p.c_stride);
  // Without unrolling the sums would live in memory.
  V sum[kRows][kVectors];
  HWY_UNROLL(8)
  for (size_t i = 0; i < kRows; ++i) {
    HWY_UNROLL(2)
    for (size_t j = 0; j < kVectors; ++j) {
      sum[i][j] = p.accumulate ? hn::Load(d, c + i * c_stride + j * n) : hn::Zero(d);
    }
  }
  for (int64_t k = 0; k < p.depth; ++k, a += p.a_step, b += p.b_stride) {
    V right[kVectors];
    HWY_UNROLL(2)
    for (size_t j = 0; j < kVectors; ++j) right[j] = hn::Load(d, b + j * n);
    HWY_UNROLL(8)
    for (size_t i = 0; i < kRows; ++i) {
      const V left = hn::Set(d, a[i * a_row]);
      HWY_UNROLL(2)
      for (size_t j = 0; j < kVectors; ++j) sum[i][j] = hn::MulAdd(left, right[j], sum[i][j]);
    }
  }
  HWY_UNROLL(8)
  for (size_t i = 0; i < kRows; ++i) {
    HWY_UNROLL(2)
    for (size_t j = 0; j < kVectors; ++j) hn::Store(sum[i][j], d, c + i * c_stride + j * n);
  }
}

template <size_t kVectors>
HWY_INLINE void multiply_columns(const TileProduct& p, int64_t column) {
  constexpr int64_t kRows = 6;
  int64_t row = 0;
  for (; row + kRows <= p.rows; row += kRows) multiply_block<kRows, kVectors>(p, row, column);
  switch (p.rows - row) {
    case 5:
      return multiply_block<5, kVectors>(p, row, column);
    case 4:
      return multiply_block<4, kVectors>(p, row, column);
    case 3:
      return multiply_block<3, kVectors>(p, row, column);
    case 2:
      return multiply_block<2, kVectors>(p, row, column);
    case 1:
      return multiply_block<1, kVectors>(p, row, column);
    default:
      return;
  }
}

void multiply(const TileProduct& p) {
  int64_t column = 0;
  for (; column + 2 * lanes() <= p.columns; column += 2 * lanes()) multiply_columns<2>(p, column);
  if (column < p.columns) multiply_columns<1>(p, column);
}

// ---- pairs ----------------------------------------------------------------------------------

/// Entries of consecutive lanes, or the entry of one panel row in all lanes.
template <bool kInLanes, class Tag, typename T = hn::TFromD<Tag>>
HWY_INLINE hn::Vec<Tag> entries(Tag d, const T* values, int64_t at) {
  if constexpr (kInLanes) {
    return hn::LoadU(d, values + at);
  } else {
    return hn::Set(d, values[at]);
  }
}

/// A vector of lanes against one panel row.
template <bool kQueryLanes>
class Pairing {
 public:
  explicit Pairing(const TilePairs& pairs)
      : pairs_(pairs),
        queries_(kQueryLanes ? *pairs.lanes : *pairs.panel),
        keys_(kQueryLanes ? *pairs.panel : *pairs.lanes) {}

  /// Pairs lanes from `lane` on with panel row `row`, both counted within the tile.
  HWY_INLINE void select(int64_t lane, int64_t row) {
    lane += pairs_.first_lane;
    row += pairs_.first_row;
    query_ = kQueryLanes ? lane : row;
    key_ = kQueryLanes ? row : lane;
  }

  HWY_INLINE V offset() const { return entries<kQueryLanes>(D(), queries_.offset, query_); }
  HWY_INLINE V delta() const { return entries<kQueryLanes>(D(), queries_.delta, query_); }

  HWY_INLINE hn::Mask<D> visible() const {
    const DI d;
    const VI slot = entries<!kQueryLanes>(d, keys_.slot, key_);
    const VI position = entries<!kQueryLanes>(d, keys_.key_position, key_);
    const VI low = entries<kQueryLanes>(d, queries_.low, query_);
    const VI high = entries<kQueryLanes>(d, queries_.high, query_);
    const VI limit = entries<kQueryLanes>(d, queries_.limit, query_);
    const VI excluded = entries<kQueryLanes>(d, queries_.excluded, query_);
    const auto hidden =
        hn::Or(hn::Or(hn::Gt(low, slot), hn::Gt(position, limit)), hn::Eq(position, excluded));
    return hn::RebindMask(D(), hn::AndNot(hidden, hn::Gt(high, slot)));
  }

  /// exp(score − offset) / N where visible, else 0.
  HWY_INLINE V weight(V score) const {
    const D d;
    V w = exp_nonpositive(d, hn::Sub(score, offset()));
    if (pairs_.duplicates.rounds > 0) w = hn::Div(w, hn::ConvertTo(d, times_seen()));
    return hn::IfThenElseZero(visible(), w);
  }

  HWY_INLINE V drop(V value) const {
    if (!pairs_.dropout.enabled) return value;
    const VU threshold = hn::Set(DU(), pairs_.dropout.threshold);
    const VU words = dropout_words();
    const auto keep = hn::RebindMask(D(), hn::Eq(hn::Max(words, threshold), words));
    return hn::IfThenElseZero(keep, hn::Mul(value, hn::Set(D(), pairs_.dropout.scale)));
  }

 private:
  /// In how many pairs of their slots the query sees the key, given that it does in one.
  HWY_INLINE VI times_seen() const {
    const DI d;
    const DuplicateRule& rule = pairs_.duplicates;
    VI count = hn::Zero(d);
    for (int64_t round = 0; round < rule.rounds; ++round) {
      // Chunks adjacent to those of `round` are in it, in the round after or in the one before.
      const int64_t steps = rule.other_rounds ? std::min<int64_t>(rule.rounds, 3) : 1;
      for (int64_t step = 0; step < steps; ++step) {
        const int64_t key_round = (round + (step == 2 ? rule.rounds - 1 : step)) % rule.rounds;
        const VI low = entries<kQueryLanes>(d, queries_.low_in + round * queries_.capacity, query_);
        const VI high =
            entries<kQueryLanes>(d, queries_.high_in + round * queries_.capacity, query_);
        const VI slot = entries<!kQueryLanes>(d, keys_.slot_in + key_round * keys_.capacity, key_);
        count = hn::Sub(count, hn::VecFromMask(d, in_ring_range(slot, low, high)));
      }
    }
    return hn::Max(count, hn::Set(d, 1));
  }

  /// low <= slot < high for some unrolling of `slot`.
  HWY_INLINE hn::Mask<DI> in_ring_range(VI slot, VI low, VI high) const {
    const DI d;
    const VI ring = hn::Set(d, pairs_.duplicates.ring_size);
    VI ahead = hn::Sub(slot, low);
    ahead = hn::Add(ahead, hn::IfThenElseZero(hn::Lt(ahead, hn::Zero(d)), ring));
    ahead = hn::Sub(ahead, hn::IfThenZeroElse(hn::Lt(ahead, ring), ring));
    return hn::Lt(ahead, hn::Sub(high, low));
  }

  /// Word (round % 4) of philox(key, {pos_i, pos_j, sample, head | (round / 4) << 16}).
  HWY_INLINE VU dropout_words() const {
    const DU d;
    const PairDropout& dropout = pairs_.dropout;
    // All lanes are in one round: a tile's lanes are slots of one round, and a panel row is one
    // slot.
    const auto round = static_cast<uint32_t>(queries_.round[query_]);
    PhiloxKey key = dropout.key;
    VU c0 = hn::BitCast(d, entries<kQueryLanes>(DI(), queries_.position, query_));
    VU c1 = hn::BitCast(d, entries<!kQueryLanes>(DI(), keys_.position, key_));
    VU c2 = hn::Set(d, dropout.sample);
    VU c3 = hn::Set(d, dropout.head | (round / 4) << 16);
    const VU m0 = hn::Set(d, kPhiloxM0);
    const VU m1 = hn::Set(d, kPhiloxM1);
    for (int i = 0; i < kPhiloxRounds; ++i) {
      const VU high0 = multiply_high(c0, m0);
      const VU high1 = multiply_high(c2, m1);
      const VU low0 = hn::Mul(c0, m0);
      const VU low1 = hn::Mul(c2, m1);
      c0 = hn::Xor(hn::Xor(high1, c1), hn::Set(d, key.lo));
      c2 = hn::Xor(hn::Xor(high0, c3), hn::Set(d, key.hi));
      c1 = low1;
      c3 = low0;
      key.lo += kPhiloxW0;
      key.hi += kPhiloxW1;
    }
    switch (round % 4) {
      case 0:
        return c0;
      case 1:
        return c1;
      case 2:
        return c2;
      default:
        return c3;
    }
  }

  static HWY_INLINE VU multiply_high(VU a, VU b) {
    const DU d;
    const hn::RepartitionToWide<DU> wide;
    const auto odd = hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, a)));
    const auto even_product = hn::MulEven(a, b);
    const auto odd_product = hn::MulEven(odd, b);  // b is the same in all lanes
    return hn::OddEven(hn::BitCast(d, odd_product),
                       hn::BitCast(d, hn::ShiftRight<32>(even_product)));
  }

  const TilePairs& pairs_;
  const SlotRows& queries_;
  const SlotRows& keys_;
  int64_t query_ = 0;
  int64_t key_ = 0;
};

void raise_maxima(const TilePairs& pairs, const float* scores, float* maxima) {
  const D d;
  Pairing<true> pairing(pairs);
  for (int64_t lane = 0; lane < kTileLanes; lane += lanes()) {
    V maximum = hn::LoadU(d, maxima + lane);
    for (int64_t row = 0; row < pairs.rows; ++row) {
      pairing.select(lane, row);
      const V score = hn::Load(d, scores + row * kTileLanes + lane);
      maximum = hn::IfThenElse(pairing.visible(), hn::Max(maximum, score), maximum);
    }
    hn::StoreU(maximum, d, maxima + lane);
  }
}

void weigh(const TilePairs& pairs, float* scores, float* sums) {
  const D d;
  Pairing<true> pairing(pairs);
  for (int64_t lane = 0; lane < kTileLanes; lane += lanes()) {
    V sum = hn::LoadU(d, sums + lane);
    for (int64_t row = 0; row < pairs.rows; ++row) {
      pairing.select(lane, row);
      float* score = scores + row * kTileLanes + lane;
      const V w = pairing.weight(hn::Load(d, score));
      sum = hn::Add(sum, w);
      hn::Store(pairing.drop(w), d, score);
    }
    hn::StoreU(sum, d, sums + lane);
  }
}

template <bool kQueryLanes>
void weigh_backward_by(const TilePairs& pairs, float* scores, float* gradients) {
  const D d;
  Pairing<kQueryLanes> pairing(pairs);
  for (int64_t lane = 0; lane < kTileLanes; lane += lanes()) {
    for (int64_t row = 0; row < pairs.rows; ++row) {
      pairing.select(lane, row);
      float* score = scores + row * kTileLanes + lane;
      float* gradient = gradients + row * kTileLanes + lane;
      const V w = pairing.weight(hn::Load(d, score));
      const V dropped = pairing.drop(w);
      hn::Store(dropped, d, score);
      hn::Store(hn::MulSub(dropped, hn::Load(d, gradient), hn::Mul(w, pairing.delta())), d,
                gradient);
    }
  }
}

void weigh_backward(const TilePairs& pairs, bool lanes_are_queries, float* scores,
                    float* gradients) {
  if (lanes_are_queries) {
    weigh_backward_by<true>(pairs, scores, gradients);
  } else {
    weigh_backward_by<false>(pairs, scores, gradients);
  }
}

}  // namespace
}  // namespace reformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace reformer::cpu {

HWY_EXPORT(multiply);
HWY_EXPORT(raise_maxima);
HWY_EXPORT(weigh);
HWY_EXPORT(weigh_backward);

void multiply(const TileProduct& product) {
  HWY_DYNAMIC_DISPATCH(multiply)(product);
}

void raise_maxima(const TilePairs& pairs, const float* scores, float* maxima) {
  HWY_DYNAMIC_DISPATCH(raise_maxima)(pairs, scores, maxima);
}

void weigh(const TilePairs& pairs, float* scores, float* sums) {
  HWY_DYNAMIC_DISPATCH(weigh)(pairs, scores, sums);
}

void weigh_backward(const TilePairs& pairs, bool lanes_are_queries, float* scores,
                    float* gradients) {
  HWY_DYNAMIC_DISPATCH(weigh_backward)(pairs, lanes_are_queries, scores, gradients);
}

}  // namespace reformer::cpu
#endif  // HWY_ONCE
