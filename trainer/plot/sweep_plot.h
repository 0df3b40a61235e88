// Hash rounds against bits/byte as a figure, for gnuplot (paper, figure 3 and table 2).
#pragma once

#include <string>
#include <vector>

#include "trainer/evaluation/round_sweep.h"
#include "trainer/plot/gnuplot_text.h"

namespace reformer {

/// A script that draws the mean held-out bits of each number of rounds, with the deviation over
/// seeds as error bars, and kAllKeys as a line across. `token_name`: what the bits are of.
/// REQUIRES: not empty.
std::string sweep_plot(const std::vector<SweepPoint>& points, const char* token_name,
                       const PlotOptions& options);

}  // namespace reformer
