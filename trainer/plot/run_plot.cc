#include "trainer/plot/run_plot.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernels/core/check.h"
#include "trainer/plot/gnuplot_text.h"

namespace reformer {
namespace {

constexpr size_t kMostPoints = 1000;  // as many as a panel has pixels
constexpr size_t kFewSteps = 200;     // which need no running mean
constexpr size_t kMeans = 40;         // windows of the running mean in the whole run

constexpr const char* kLight = "lines lc rgb '#b0c4de'";
constexpr const char* kDark = "lines lw 2 lc rgb '#1f4e8c'";
constexpr const char* kSingle = "linespoints lw 2 pt 7 ps 0.4 lc rgb '#1f4e8c'";
constexpr const char* kHeldOut = "linespoints lw 2 pt 7 ps 0.5 lc rgb '#c8501e'";

struct Point {
  double step = 0;
  double value = 0;
};

struct Curve {
  std::string title;
  std::string style;
  std::vector<Point> points;
};

struct Panel {
  std::string title;
  std::vector<std::string> settings;
  std::vector<Curve> curves;
};

template <typename Metrics, typename Value>
std::vector<Point> points_of(const std::vector<Metrics>& metrics, const Value& value) {
  std::vector<Point> points;
  for (const Metrics& of_step : metrics) {
    const double number = value(of_step);
    if (std::isfinite(number)) points.push_back({static_cast<double>(of_step.step), number});
  }
  return points;
}

std::vector<Point> thin(const std::vector<Point>& points) {
  const size_t group = (points.size() + kMostPoints - 1) / kMostPoints;
  if (group <= 1) return points;
  std::vector<Point> means;
  for (size_t begin = 0; begin < points.size(); begin += group) {
    const size_t end = std::min(begin + group, points.size());
    Point mean;
    for (size_t i = begin; i < end; ++i) {
      mean.step += points[i].step / static_cast<double>(end - begin);
      mean.value += points[i].value / static_cast<double>(end - begin);
    }
    means.push_back(mean);
  }
  return means;
}

/// Each value replaced by the mean of the last `window`.
std::vector<Point> running_mean(const std::vector<Point>& points, size_t window) {
  std::vector<Point> means;
  double sum = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    sum += points[i].value;
    if (i >= window) sum -= points[i - window].value;
    means.push_back({points[i].step, sum / static_cast<double>(std::min(i + 1, window))});
  }
  return means;
}

/// The values of all steps, and their running mean if there are many.
std::vector<Curve> curves_of(const std::vector<Point>& points) {
  if (points.size() < kFewSteps) return {{"each step", kSingle, points}};
  const size_t window = points.size() / kMeans;
  return {{"each step", kLight, points},
          {fmt::format("mean of {} steps", window), kDark, running_mean(points, window)}};
}

Panel loss_panel(const MetricsHistory& history) {
  Panel panel{
      .title = "loss (nats per token)",
      .settings = {"set key top right"},
      .curves = curves_of(points_of(history.steps, [](const StepMetrics& m) { return m.loss; }))};
  panel.curves.push_back(
      {"held-out", kHeldOut,
       points_of(history.evaluations, [](const EvaluationMetrics& m) { return m.loss; })});
  return panel;
}

Panel bits_panel(const MetricsHistory& history, const std::string& token_name) {
  return {.title = "held-out bits/" + token_name,
          .settings = {},
          .curves = {
              {"held-out", kHeldOut, points_of(history.evaluations, [](const EvaluationMetrics& m) {
                 return bits_from_nats(m.loss);
               })}}};
}

Panel norm_panel(const MetricsHistory& history) {
  const std::vector<Point> norms =
      points_of(history.steps, [](const StepMetrics& m) { return m.gradient_norm; });
  Panel panel{.title = "gradient norm", .settings = {}, .curves = curves_of(norms)};
  const auto [least, most] = std::minmax_element(
      norms.begin(), norms.end(), [](const Point& a, const Point& b) { return a.value < b.value; });
  constexpr double kWide = 30;
  if (!norms.empty() && least->value > 0 && most->value > kWide * least->value) {
    panel.settings.push_back("set logscale y");
  }
  return panel;
}

Panel speed_panel(const MetricsHistory& history) {
  return {.title = "tokens/s",
          .settings = {"set yrange [0:*]", "set format y '%.1s%c'"},
          .curves = curves_of(
              points_of(history.steps, [](const StepMetrics& m) { return m.tokens_per_second; }))};
}

/// Of the evaluations that looked at the hash.
std::vector<Point> health_points(const MetricsHistory& history,
                                 double (*value)(const std::vector<HeadHealth>&)) {
  return points_of(history.evaluations, [&](const EvaluationMetrics& m) {
    return m.lsh.empty() ? std::nan("") : value(m.lsh) * 100;
  });
}

Panel found_panel(const MetricsHistory& history) {
  return {
      .title = "attention that LSH finds (%)",
      .settings = {"set yrange [0:100]", "set key bottom right"},
      .curves = {
          {"mean of heads", kHeldOut,
           health_points(
               history, [](const auto& heads) { return mean_of(heads, &HeadHealth::found_mass); })},
          {"least of heads", kSingle, health_points(history, [](const auto& heads) {
             return least_found(heads).found_mass;
           })}}};
}

Panel overflow_panel(const MetricsHistory& history) {
  return {.title = "tokens whose bucket is longer than the window (%)",
          .settings = {"set yrange [0:100]"},
          .curves = {{"mean of heads", kHeldOut, health_points(history, [](const auto& heads) {
                        return mean_of(heads, &HeadHealth::window_overflow);
                      })}}};
}

/// Draws what the panel has to show, or says that it is nothing.
void draw(const Panel& panel, const std::string& name, std::string* script) {
  *script += fmt::format("set title {}\n", gnuplot_quoted(panel.title));
  std::vector<std::string> plots;
  for (const Curve& curve : panel.curves) {
    if (curve.points.empty()) continue;
    const std::string data = fmt::format("${}{}", name, plots.size());
    *script += data + " << END\n";
    for (const Point& point : thin(curve.points)) {
      *script += fmt::format("{} {:.9g}\n", point.step, point.value);
    }
    *script += "END\n";
    plots.push_back(
        fmt::format("{} with {} title {}", data, curve.style, gnuplot_quoted(curve.title)));
  }
  if (plots.empty()) {
    *script += "set label 1 'nothing yet' at graph 0.5,0.5 center\nset yrange [0:1]\n";
    plots.push_back("NaN notitle");
  } else {
    for (const std::string& setting : panel.settings) *script += setting + "\n";
  }
  *script += fmt::format("plot {}\n", fmt::join(plots, ", "));
  *script += "unset label 1\nunset logscale y\nset yrange [*:*]\nset format y\nunset key\n";
}

}  // namespace

std::string run_plot(const MetricsHistory& history, const std::string& token_name,
                     const PlotOptions& options) {
  CHECK(!history.steps.empty());
  const bool hashes = std::any_of(history.evaluations.begin(), history.evaluations.end(),
                                  [](const EvaluationMetrics& m) { return !m.lsh.empty(); });
  const int rows = hashes ? 3 : 2;
  std::string script = gnuplot_output(options, rows * 400);
  script +=
      fmt::format("set multiplot layout {},2 title {}\n", rows, gnuplot_quoted(options.title));
  script += fmt::format(
      "set grid back lt 1 lw 1 lc rgb '#d8d8d8'\nset xlabel 'step'\nset xrange [0:{}]\n"
      "set lmargin 9\nunset key\n",
      history.steps.back().step);
  draw(loss_panel(history), "loss", &script);
  draw(bits_panel(history, token_name), "bits", &script);
  draw(norm_panel(history), "norm", &script);
  draw(speed_panel(history), "speed", &script);
  if (hashes) {
    draw(found_panel(history), "found", &script);
    draw(overflow_panel(history), "overflow", &script);
  }
  return script + "unset multiplot\n";
}

}  // namespace reformer
