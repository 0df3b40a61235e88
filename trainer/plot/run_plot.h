// A run as one figure, for gnuplot.
#pragma once

#include <string>

#include "trainer/metrics_history.h"
#include "trainer/plot/gnuplot_text.h"

namespace reformer {

/// A script that draws four panels over the steps: loss and held-out loss, held-out bits of a token
/// (`token_name` tells what one is), gradient norm, and tokens/s; and two more on the hash, where
/// evaluations have looked at it. Where there are many steps, their running mean is drawn over
/// them, and neighbouring ones become one point. What is not finite is left out. REQUIRES: at least
/// one step.
std::string run_plot(const MetricsHistory& history, const std::string& token_name,
                     const PlotOptions& options);

}  // namespace reformer
