#include "trainer/plot/gnuplot_text.h"

#include <cctype>

#include <fmt/format.h>

namespace reformer {

std::string gnuplot_output(const PlotOptions& options, int height) {
  const bool png = options.format == "png";
  return fmt::format("set terminal {} size 1200,{} font 'sans,{}' noenhanced\nset output {}\n",
                     png ? "pngcairo" : "svg dynamic background rgb 'white'", height, png ? 11 : 13,
                     gnuplot_quoted(options.path));
}

std::string gnuplot_quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') result += c;
    result += std::iscntrl(static_cast<unsigned char>(c)) != 0 ? '?' : c;
  }
  return result + "'";
}

}  // namespace reformer
