// Integer arithmetic against 128-bit arithmetic.
#include <algorithm>

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::awkward_integers;
using testing::expect_each;
using testing::pairs;
using testing::Row;

const std::vector<Row>& rows() {
  static const std::vector<Row> all = pairs(awkward_integers());
  return all;
}

// The PTX type and registers that go with a C++ type.
template <class X>
std::string code(const std::string& opcode, int sources = 2, bool wide = false) {
  const std::string size = std::to_string(8 * sizeof(X));
  const std::string type = (std::is_signed_v<X> ? ".s" : ".u") + size;
  const auto name = [](const char* letter, std::size_t bytes) {
    const char upper = static_cast<char>(letter[0] - 32);
    return bytes == 2   ? std::string("%h") + letter
           : bytes == 4 ? std::string("%") + letter
                        : std::string("%") + upper;
  };
  std::string text = opcode + type + " " + name("d", wide ? 2 * sizeof(X) : sizeof(X)) + ", " +
                     name("a", sizeof(X));
  if (sources > 1) text += ", " + name("b", sizeof(X));
  if (sources > 2) text += ", " + name("c", wide ? 2 * sizeof(X) : sizeof(X));
  return text + ";";
}

template <class X>
class IntegerTest : public ::testing::Test {};
using Words = ::testing::Types<u16, s16, u32, s32, u64, s64>;
TYPED_TEST_SUITE(IntegerTest, Words);

TYPED_TEST(IntegerTest, AddsSubtractsAndMultiplies) {
  using X = TypeParam;
  const auto x = [](u64 v) { return static_cast<s128>(static_cast<X>(v)); };
  expect_each<X>(code<X>("add"), rows(),
                 [&](const Row& r) { return static_cast<X>(x(r.a) + x(r.b)); });
  expect_each<X>(code<X>("sub"), rows(),
                 [&](const Row& r) { return static_cast<X>(x(r.a) - x(r.b)); });
  const auto product = [&](const Row& r) {
    return static_cast<u128>(x(r.a)) * static_cast<u128>(x(r.b));
  };
  expect_each<X>(code<X>("mul.lo"), rows(),
                 [&](const Row& r) { return static_cast<X>(product(r)); });
  expect_each<X>(code<X>("mul.hi"), rows(),
                 [&](const Row& r) { return static_cast<X>(product(r) >> (8 * sizeof(X))); });
  expect_each<X>(code<X>("mad.lo", 3), rows(), [&](const Row& r) {
    return static_cast<X>(product(r) + static_cast<u128>(x(r.c)));
  });
  expect_each<X>(code<X>("mad.hi", 3), rows(), [&](const Row& r) {
    return static_cast<X>((product(r) >> (8 * sizeof(X))) + static_cast<u128>(x(r.c)));
  });
}

TYPED_TEST(IntegerTest, DividesAsTheHardwareDoes) {
  using X = TypeParam;
  const auto x = [](u64 v) { return static_cast<s128>(static_cast<X>(v)); };
  expect_each<X>(code<X>("div"), rows(), [&](const Row& r) {
    return x(r.b) == 0 ? static_cast<X>(-1) : static_cast<X>(x(r.a) / x(r.b));
  });
  expect_each<X>(code<X>("rem"), rows(), [&](const Row& r) {
    return x(r.b) == 0 ? static_cast<X>(r.a) : static_cast<X>(x(r.a) % x(r.b));
  });
}

TYPED_TEST(IntegerTest, FindsExtremesAndDistances) {
  using X = TypeParam;
  const auto x = [](u64 v) { return static_cast<X>(v); };
  expect_each<X>(code<X>("min"), rows(), [&](const Row& r) { return std::min(x(r.a), x(r.b)); });
  expect_each<X>(code<X>("max"), rows(), [&](const Row& r) { return std::max(x(r.a), x(r.b)); });
  expect_each<X>(code<X>("sad", 3), rows(), [&](const Row& r) {
    const s128 difference = static_cast<s128>(x(r.a)) - x(r.b);
    return static_cast<X>(x(r.c) + (difference < 0 ? -difference : difference));
  });
  if constexpr (std::is_signed_v<X>) {
    expect_each<X>(code<X>("neg", 1), rows(),
                   [&](const Row& r) { return static_cast<X>(-s128{x(r.a)}); });
    expect_each<X>(code<X>("abs", 1), rows(), [&](const Row& r) {
      return static_cast<X>(x(r.a) < 0 ? -s128{x(r.a)} : s128{x(r.a)});
    });
  }
}

template <class X, class W>
void check_wide() {
  const auto product = [](const Row& r) {
    return static_cast<W>(static_cast<W>(static_cast<X>(r.a)) *
                          static_cast<s128>(static_cast<X>(r.b)));
  };
  expect_each<W>(code<X>("mul.wide", 2, true), rows(), product);
  expect_each<W>(code<X>("mad.wide", 3, true), rows(),
                 [&](const Row& r) { return static_cast<W>(static_cast<u64>(product(r)) + r.c); });
}

TEST(IntegerTest, MultipliesToTwiceTheWidth) {
  check_wide<u16, u32>();
  check_wide<s16, s32>();
  check_wide<u32, u64>();
  check_wide<s32, s64>();
}

TEST(IntegerTest, Saturates) {
  const auto clamp = [](s64 v) {
    return static_cast<s32>(std::clamp<s64>(v, INT32_MIN, INT32_MAX));
  };
  expect_each<s32>("add.sat.s32 %d, %a, %b;", rows(), [&](const Row& r) {
    return clamp(s64{static_cast<s32>(r.a)} + static_cast<s32>(r.b));
  });
  expect_each<s32>("sub.sat.s32 %d, %a, %b;", rows(), [&](const Row& r) {
    return clamp(s64{static_cast<s32>(r.a)} - static_cast<s32>(r.b));
  });
}

TEST(IntegerTest, CarriesGoOn) {
  const std::string split = "mov.b64 {%x0, %x1}, %A; mov.b64 {%x2, %x3}, %B; ";
  const std::string join = " mov.b64 %D, {%x4, %x5};";
  expect_each<u64>(split + "add.cc.u32 %x4, %x0, %x2; addc.u32 %x5, %x1, %x3;" + join, rows(),
                   [](const Row& r) { return r.a + r.b; });
  expect_each<u64>(split + "sub.cc.u32 %x4, %x0, %x2; subc.u32 %x5, %x1, %x3;" + join, rows(),
                   [](const Row& r) { return r.a - r.b; });
  // The upper 64 bits of a 128-bit sum.
  expect_each<u64>("add.cc.u64 %X0, %A, %B; addc.u64 %D, 0, 0;", rows(),
                   [](const Row& r) { return static_cast<u64>((u128{r.a} + r.b) >> 64); });
  expect_each<u64>(
      "mad.lo.cc.u32 %x4, %a, %b, %c; madc.hi.u32 %x5, %a, %b, 0;" + join, rows(),
      [](const Row& r) { return (r.a & 0xffffffff) * (r.b & 0xffffffff) + (r.c & 0xffffffff); });
}

TEST(IntegerTest, MultipliesThe24LowestBits) {
  const auto low = [](u64 v) { return s64{static_cast<s32>(static_cast<u32>(v) << 8) >> 8}; };
  expect_each<u32>("mul24.lo.s32 %d, %a, %b;", rows(),
                   [&](const Row& r) { return static_cast<u32>(low(r.a) * low(r.b)); });
  expect_each<u32>("mul24.hi.u32 %d, %a, %b;", rows(), [&](const Row& r) {
    return static_cast<u32>(((r.a & 0xffffff) * (r.b & 0xffffff)) >> 16);
  });
  expect_each<u32>("mad24.lo.s32 %d, %a, %b, %c;", rows(), [&](const Row& r) {
    return static_cast<u32>(low(r.a) * low(r.b)) + static_cast<u32>(r.c);
  });
}

TEST(IntegerTest, AddsDotProducts) {
  const auto dot = [](const Row& r, bool a_signed, bool b_signed) {
    u32 sum = static_cast<u32>(r.c);
    for (int i = 0; i < 4; ++i) {
      const auto byte = [&](u64 v, bool is_signed) {
        const auto raw = static_cast<u8>(v >> (8 * i));
        return is_signed ? int{static_cast<s8>(raw)} : int{raw};
      };
      sum += static_cast<u32>(byte(r.a, a_signed) * byte(r.b, b_signed));
    }
    return sum;
  };
  expect_each<u32>("dp4a.s32.s32 %d, %a, %b, %c;", rows(),
                   [&](const Row& r) { return dot(r, true, true); });
  expect_each<u32>("dp4a.u32.s32 %d, %a, %b, %c;", rows(),
                   [&](const Row& r) { return dot(r, false, true); });
  expect_each<u32>("dp2a.hi.s32.u32 %d, %a, %b, %c;", rows(), [](const Row& r) {
    u32 sum = static_cast<u32>(r.c);
    for (int i = 0; i < 2; ++i) {
      sum += static_cast<u32>(static_cast<s16>(r.a >> (16 * i)) *
                              static_cast<u8>(r.b >> (16 + 8 * i)));
    }
    return sum;
  });
}

}  // namespace
}  // namespace reformer::ptx
