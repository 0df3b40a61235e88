#include "trainer/plot/gnuplot_text.h"

#include <gtest/gtest.h>

namespace reformer {
namespace {

TEST(GnuplotTextTest, QuotesEndNowhereButAtTheEnd) {
  EXPECT_EQ(gnuplot_quoted("plain"), "'plain'");
  EXPECT_EQ(gnuplot_quoted("it's `date`\n"), "'it''s `date`?'");
}

TEST(GnuplotTextTest, TheOutputHasAFormatAndAHeight) {
  const std::string svg = gnuplot_output({.title = "", .path = "a'b", .format = "svg"}, 600);
  EXPECT_NE(svg.find("terminal svg dynamic"), std::string::npos);
  EXPECT_NE(svg.find("size 1200,600"), std::string::npos);
  EXPECT_NE(svg.find("set output 'a''b'\n"), std::string::npos);
  const std::string png = gnuplot_output({.title = "", .path = "a", .format = "png"}, 800);
  EXPECT_NE(png.find("terminal pngcairo size 1200,800"), std::string::npos);
}

}  // namespace
}  // namespace reformer
