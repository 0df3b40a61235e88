// What all scripts for gnuplot have in common.
#pragma once

#include <string>

namespace reformer {

struct PlotOptions {
  std::string title;
  std::string path;            // of the picture
  std::string format = "svg";  // or "png"
};

/// The commands that say where a picture of 1,200 by `height` pixels goes, and in which format.
std::string gnuplot_output(const PlotOptions& options, int height);

/// In gnuplot's quotes, where a quote is written twice and nothing else means anything.
std::string gnuplot_quoted(const std::string& text);

}  // namespace reformer
