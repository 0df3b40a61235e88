#include "trainer/plot/sweep_plot.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernels/core/check.h"
#include "trainer/metrics.h"

namespace reformer {

std::string sweep_plot(const std::vector<SweepPoint>& points, const char* token_name,
                       const PlotOptions& options) {
  CHECK(!points.empty());
  std::string rounds;
  std::vector<std::string> plots;
  for (const SweepPoint& point : points) {
    const double bits = bits_from_nats(point.mean_loss());
    if (point.rounds == kAllKeys) {
      plots.push_back(
          fmt::format("{:.9g} with lines dt 2 lw 2 lc rgb '#c8501e' title 'all keys seen'", bits));
    } else {
      rounds += fmt::format("{} {:.9g} {:.9g}\n", point.rounds, bits,
                            bits_from_nats(point.loss_deviation()));
    }
  }
  std::string script = gnuplot_output(options, 600);
  script += fmt::format("set title {}\n", gnuplot_quoted(options.title));
  script += fmt::format(
      "set grid back lt 1 lw 1 lc rgb '#d8d8d8'\nset xlabel 'hash rounds'\n"
      "set ylabel 'held-out bits/{}'\nset logscale x 2\nset xrange [0.9:*]\nset offsets graph "
      "0.02,graph 0.05,graph 0.1,graph 0.1\n"
      "set key top right\n",
      token_name);
  if (!rounds.empty()) {
    script += fmt::format("$rounds << END\n{}END\n", rounds);
    plots.insert(plots.begin(),
                 "$rounds with yerrorlines lw 2 pt 7 ps 0.7 lc rgb '#1f4e8c' title 'LSH'");
  }
  return script + fmt::format("plot {}\n", fmt::join(plots, ", "));
}

}  // namespace reformer
