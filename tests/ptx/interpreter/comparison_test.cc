#include <cmath>

#include "tests/ptx/interpreter/testing.h"

namespace reformer::ptx {
namespace {

using testing::awkward_doubles;
using testing::awkward_floats;
using testing::awkward_integers;
using testing::evaluate;
using testing::expect_each;
using testing::f;
using testing::pairs;
using testing::Row;

std::string compared(const std::string& comparison, bool wide = false) {
  return "setp." + comparison + (wide ? " %p, %A, %B;" : " %p, %a, %b;") +
         " selp.u32 %d, 1, 0, %p;";
}

template <class X>
void check_integers(const std::string& type) {
  const auto rows = pairs(awkward_integers());
  const auto check = [&](const std::string& name, auto compare) {
    expect_each<u32>(compared(name + "." + type, sizeof(X) == 8), rows, [&](const Row& r) {
      return compare(static_cast<X>(r.a), static_cast<X>(r.b)) ? 1U : 0U;
    });
  };
  check("eq", [](X x, X y) { return x == y; });
  check("ne", [](X x, X y) { return x != y; });
  check("lt", [](X x, X y) { return x < y; });
  check("le", [](X x, X y) { return x <= y; });
  check("gt", [](X x, X y) { return x > y; });
  check("ge", [](X x, X y) { return x >= y; });
}

TEST(ComparisonTest, Integers) {
  check_integers<s32>("s32");
  check_integers<u32>("u32");
  check_integers<s64>("s64");
  check_integers<u64>("u64");
  const std::vector<Row> rows = {{1, 0xffffffff, 0, 0}};
  EXPECT_EQ(evaluate(compared("lo.u32"), 4, rows)[0], 1U);
  EXPECT_EQ(evaluate(compared("hs.u32"), 4, rows)[0], 0U);
}

template <class X>
void check_floats(const std::string& type, const std::vector<Row>& rows) {
  const auto check = [&](const std::string& name, bool (*compare)(X, X, bool)) {
    expect_each<u32>(compared(name + "." + type, sizeof(X) == 8), rows, [&](const Row& r) {
      X x, y;
      if constexpr (sizeof(X) == 8) {
        x = double_of(r.a);
        y = double_of(r.b);
      } else {
        x = float_of(r.a);
        y = float_of(r.b);
      }
      return compare(x, y, std::isnan(x) || std::isnan(y)) ? 1U : 0U;
    });
  };
  check("eq", [](X x, X y, bool) { return x == y; });
  check("ne", [](X x, X y, bool nan) { return !nan && x != y; });
  check("lt", [](X x, X y, bool) { return x < y; });
  check("ge", [](X x, X y, bool) { return x >= y; });
  check("equ", [](X x, X y, bool nan) { return nan || x == y; });
  check("neu", [](X x, X y, bool nan) { return nan || x != y; });
  check("ltu", [](X x, X y, bool nan) { return nan || x < y; });
  check("gtu", [](X x, X y, bool nan) { return nan || x > y; });
  check("num", [](X, X, bool nan) { return !nan; });
  check("nan", [](X, X, bool nan) { return nan; });
}

TEST(ComparisonTest, FloatsAndNan) {
  check_floats<float>("f32", pairs(awkward_floats()));
  check_floats<double>("f64", pairs(awkward_doubles()));
}

TEST(ComparisonTest, FlushedFloatsAreEqual) {
  const std::vector<Row> rows = {{1, 0x80000002, 0, 0}};
  EXPECT_EQ(evaluate(compared("eq.f32"), 4, rows)[0], 0U);
  EXPECT_EQ(evaluate(compared("eq.ftz.f32"), 4, rows)[0], 1U);
}

TEST(ComparisonTest, CombinesWithAPredicateAndGivesTheOpposite) {
  const auto rows = pairs({0, 1, 2, 3});
  const auto both = [](const std::string& combine) {
    return "setp.ne.u32 %q, %c, 0; setp.lt." + combine +
           ".u32 %p|%q, %a, %b, %q; selp.u32 %d, 1, 0, %p; @%q add.u32 %d, %d, 2;";
  };
  const auto check = [&](const std::string& combine, auto join) {
    expect_each<u32>(both(combine), rows, [&](const Row& r) {
      const bool less = r.a < r.b, other = r.c != 0;
      return (join(less, other) ? 1U : 0U) + (join(!less, other) ? 2U : 0U);
    });
  };
  check("and", [](bool x, bool y) { return x && y; });
  check("or", [](bool x, bool y) { return x || y; });
  check("xor", [](bool x, bool y) { return x != y; });
}

TEST(ComparisonTest, ComparesHalves) {
  // 1.0 and 2.0 against 1.5 twice.
  const std::vector<Row> rows = {{0x40003c00, 0x3e003e00, 0, 0}};
  EXPECT_EQ(evaluate("setp.lt.f16x2 %p|%q, %a, %b; selp.u32 %d, 1, 0, %p; @%q add.u32 %d, %d, 2;",
                     4, rows)[0],
            1U);
  EXPECT_EQ(evaluate("set.gt.f16x2.f16x2 %d, %a, %b;", 4, rows)[0], 0x3c000000U);
  EXPECT_EQ(evaluate("set.gt.u32.f16 %d, %ha, %hb;", 4, rows)[0], 0U);
}

TEST(ComparisonTest, SetsValues) {
  const std::vector<Row> rows = {{1, 2, 0, 0}, {2, 1, 0, 0}};
  EXPECT_EQ(evaluate("set.lt.u32.u32 %d, %a, %b;", 4, rows), (std::vector<u64>{0xffffffff, 0}));
  EXPECT_EQ(evaluate("set.lt.f32.s32 %d, %a, %b;", 4, rows), (std::vector<u64>{f(1.0F), 0}));
}

TEST(ComparisonTest, Selects) {
  const auto rows = pairs(awkward_integers());
  expect_each<u64>("setp.ne.u32 %p, %c, 0; selp.b64 %D, %A, %B, !%p;", rows,
                   [](const Row& r) { return static_cast<u32>(r.c) != 0 ? r.b : r.a; });
  expect_each<u32>("slct.u32.s32 %d, %a, %b, %c;", rows, [](const Row& r) {
    return static_cast<u32>(static_cast<s32>(r.c) >= 0 ? r.a : r.b);
  });
}

TEST(ComparisonTest, TestsProperties) {
  const auto rows = pairs(awkward_floats());
  const auto check = [&](const std::string& name, auto property) {
    expect_each<u32>("testp." + name + ".f32 %p, %a; selp.u32 %d, 1, 0, %p;", rows,
                     [&](const Row& r) { return property(float_of(r.a)) ? 1U : 0U; });
  };
  check("finite", [](float v) { return std::isfinite(v); });
  check("infinite", [](float v) { return std::isinf(v); });
  check("notanumber", [](float v) { return std::isnan(v); });
  check("normal", [](float v) { return std::isnormal(v); });
  check("subnormal", [](float v) { return std::fpclassify(v) == FP_SUBNORMAL; });
}

}  // namespace
}  // namespace reformer::ptx
