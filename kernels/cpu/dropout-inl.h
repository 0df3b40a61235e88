// The dropout of backend.h over the columns of a row, with Philox in vectors. The words are equal
// to philox() bit by bit.
#include "hwy/highway.h"

#if defined(REFORMER_KERNELS_CPU_DROPOUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REFORMER_KERNELS_CPU_DROPOUT_INL_H_
#undef REFORMER_KERNELS_CPU_DROPOUT_INL_H_
#else
#define REFORMER_KERNELS_CPU_DROPOUT_INL_H_
#endif

#include "kernels/backend.h"
#include "kernels/core/philox.h"
#include "kernels/cpu/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace reformer::cpu::HWY_NAMESPACE {

/// Philox words of the columns of one row, kVectors float-sized vectors at a time.
class RowPhilox {
 public:
  using Float = hn::ScalableTag<float>;
  using Word = hn::RebindToUnsigned<Float>;
  using Words = hn::Vec<Word>;
  static constexpr size_t kVectors = 4;

  explicit RowPhilox(PhiloxKey key) {
    const Wide d;
    for (int round = 0; round < kPhiloxRounds; ++round) {
      key_lo_[round] = hn::Set(d, key.lo);
      key_hi_[round] = hn::Set(d, key.hi);
      key.lo += kPhiloxW0;
      key.hi += kPhiloxW1;
    }
    // The last step of words() interleaves lanes within 128-bit blocks; with this order of the
    // counters the columns come out in sequence.
    const size_t counters = hn::Lanes(d);
    HWY_ALIGN uint64_t order[hn::MaxLanes(d)];
    for (size_t lane = 0; lane < counters; ++lane) {
      order[lane] = lane / 2 + (lane % 2) * (counters / 2);
    }
    counter_order_ = hn::Load(d, order);
  }

  void set_row(int64_t position, int64_t sample) {
    position_ = static_cast<uint32_t>(position);
    sample_ = static_cast<uint32_t>(sample);
  }

  /// words[v] = words of the columns from column + v · N, N the lanes of a vector.
  /// REQUIRES: column % 4 == 0.
  HWY_INLINE void words(size_t column, Words (&words)[kVectors]) const {
    const Wide d;
    // Two independent groups hide the latency of the multiplications.
    Counters a = counters(column / 4);
    Counters b = counters(column / 4 + hn::Lanes(d));
    for (int round = 0; round < kPhiloxRounds; ++round) {
      advance(a, round);
      advance(b, round);
    }
    interleave(a, words[0], words[1]);
    interleave(b, words[2], words[3]);
  }

 private:
  using Wide = hn::RepartitionToWide<Word>;
  using Narrow = hn::Repartition<uint32_t, Wide>;
  using V = hn::Vec<Wide>;

  /// One counter in each 64-bit lane. What the high halves hold is ignored by the multiplication,
  /// which so leaves both halves of its product where the next round wants them.
  struct Counters {
    V c0, c1, c2, c3;
  };

  HWY_INLINE Counters counters(size_t first) const {
    const Wide d;
    return {.c0 = hn::Add(counter_order_, hn::Set(d, first)),
            .c1 = hn::Set(d, uint64_t{position_}),
            .c2 = hn::Set(d, uint64_t{sample_}),
            .c3 = hn::Zero(d)};
  }

  HWY_INLINE void advance(Counters& c, int round) const {
    const Narrow narrow;
    const V p0 = hn::MulEven(hn::BitCast(narrow, c.c0), hn::Set(narrow, kPhiloxM0));
    const V p1 = hn::MulEven(hn::BitCast(narrow, c.c2), hn::Set(narrow, kPhiloxM1));
    c.c0 = hn::Xor(hn::ShiftRight<32>(p1), hn::Xor(c.c1, key_lo_[round]));
    c.c1 = p1;
    c.c2 = hn::Xor(hn::ShiftRight<32>(p0), hn::Xor(c.c3, key_hi_[round]));
    c.c3 = p0;
  }

  static HWY_INLINE void interleave(const Counters& c, Words& first, Words& second) {
    const Wide d;
    const V low = hn::Set(d, 0xffffffffu);
    const V words01 = hn::Or(hn::And(c.c0, low), hn::ShiftLeft<32>(c.c1));
    const V words23 = hn::Or(hn::And(c.c2, low), hn::ShiftLeft<32>(c.c3));
    first = hn::BitCast(Word(), hn::InterleaveLower(d, words01, words23));
    second = hn::BitCast(Word(), hn::InterleaveUpper(d, words01, words23));
  }

  V key_lo_[kPhiloxRounds];
  V key_hi_[kPhiloxRounds];
  V counter_order_;
  uint32_t position_ = 0;
  uint32_t sample_ = 0;
};

/// Dropout that keeps everything.
struct KeepAll {
  template <class V>
  HWY_INLINE V operator()(V value) const {
    return value;
  }
};

/// Dropout of one vector.
struct KeepSome {
  using D = RowPhilox::Float;
  hn::Mask<D> keep;
  hn::Vec<D> scale;

  KeepSome(RowPhilox::Words words, RowPhilox::Words threshold, hn::Vec<D> keep_scale)
      // Unsigned words >= threshold, for instruction sets that compare only signed integers.
      : keep(hn::RebindMask(D(), hn::Eq(hn::Max(words, threshold), words))), scale(keep_scale) {}

  /// A dropped element becomes 0, even if it was not finite.
  HWY_INLINE hn::Vec<D> operator()(hn::Vec<D> value) const {
    return hn::IfThenElseZero(keep, hn::Mul(value, scale));
  }
};

/// Calls body(row, column, Whole or Part, drop) for each vector of rows [begin, end), where drop(v)
/// applies the dropout to v, the values of these columns.
template <class Body>
HWY_INLINE void for_dropout_vectors(const TokenLayout& layout, const Dropout& dropout, size_t width,
                                    int64_t begin, int64_t end, const Body& body) {
  const RowPhilox::Float d;
  if (!dropout.enabled()) {
    for (int64_t row = begin; row < end; ++row) {
      for_vectors(d, width, [&](size_t column, auto columns) HWY_ATTR {
        body(row, column, columns, KeepAll{});
      });
    }
    return;
  }
  const size_t lanes = hn::Lanes(d);
  const auto threshold = hn::Set(RowPhilox::Word(), dropout.threshold());
  const auto scale = hn::Set(d, dropout.scale());
  const size_t step = RowPhilox::kVectors * lanes;
  RowPhilox random(dropout.key);
  RowPhilox::Words words[RowPhilox::kVectors];
  for (int64_t row = begin; row < end; ++row) {
    random.set_row(layout.first_position + row % layout.length,
                   layout.first_sample + row / layout.length);
    size_t column = 0;
    for (; column + step <= width; column += step) {
      random.words(column, words);
      for (size_t v = 0; v < RowPhilox::kVectors; ++v) {
        body(row, column + v * lanes, Whole{}, KeepSome(words[v], threshold, scale));
      }
    }
    if (column == width) continue;
    random.words(column, words);
    size_t v = 0;
    for (; column + lanes <= width; column += lanes) {
      body(row, column, Whole{}, KeepSome(words[v++], threshold, scale));
    }
    if (column < width) {
      body(row, column, Part{width - column}, KeepSome(words[v], threshold, scale));
    }
  }
}

}  // namespace reformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // REFORMER_KERNELS_CPU_DROPOUT_INL_H_
