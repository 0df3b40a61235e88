#include "launch/device_report.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace reformer {
namespace {

double sum_of_seconds(const std::vector<OpTime>& times) {
  double sum = 0;
  for (const OpTime& time : times) sum += time.seconds;
  return sum;
}

/// " (12%)", or nothing without a peak.
std::string share(double achieved, double peak) {
  return peak > 0 ? fmt::format(" ({:.0f}%)", 100 * achieved / peak) : "";
}

double floor_seconds(const OpCost& cost, const DevicePeaks& peaks) {
  return std::max(cost.bytes / peaks.bytes_per_second, cost.flops / peaks.flops_per_second);
}

}  // namespace

std::string times_table(const std::vector<OpTime>& times, const std::optional<DevicePeaks>& peaks) {
  const DevicePeaks of = peaks.value_or(DevicePeaks{});
  const double total = sum_of_seconds(times);
  std::string text = fmt::format("{:<24}{:>7}{:>11}{:>8}  {:<18}{:<18}\n", "op", "calls", "ms",
                                 "share", "GB/s", "TFLOP/s");
  for (const OpTime& time : times) {
    const double bytes = time.cost.bytes / time.seconds;
    const double flops = time.cost.flops / time.seconds;
    text += fmt::format(
        "{:<24}{:>7}{:>11.3f}{:>7.1f}%  {:<18}{:<18}\n", time.op, time.calls, 1e3 * time.seconds,
        100 * time.seconds / total,
        fmt::format("{:.1f}{}", 1e-9 * bytes, share(bytes, of.bytes_per_second)),
        flops > 0 ? fmt::format("{:.2f}{}", 1e-12 * flops, share(flops, of.flops_per_second)) : "");
  }
  return text + fmt::format("{:<24}{:>7}{:>11.3f}\n", "all", "", 1e3 * total);
}

std::string floors_table(const std::vector<OpTime>& counts, const DevicePeaks& peaks) {
  std::string text = fmt::format("{:<24}{:>7}{:>11}{:>11}{:>11}  {}\n", "op", "calls", "GB",
                                 "TFLOP", "floor ms", "bound by");
  double total = 0;
  for (const OpTime& count : counts) {
    const double seconds = floor_seconds(count.cost, peaks);
    total += seconds;
    const bool by_memory = count.cost.bytes / peaks.bytes_per_second >= seconds;
    text += fmt::format("{:<24}{:>7}{:>11.2f}{:>11.3f}{:>11.3f}  {}\n", count.op, count.calls,
                        1e-9 * count.cost.bytes, 1e-12 * count.cost.flops, 1e3 * seconds,
                        by_memory ? "memory" : "products");
  }
  return text + fmt::format("{:<24}{:>7}{:>11}{:>11}{:>11.3f}\n", "all", "", "", "", 1e3 * total);
}

std::string to_json(const DeviceReport& report) {
  using nlohmann::ordered_json;
  ordered_json json;
  json["device"] = report.device;
  json["numeric_identity"] = report.numeric_identity;
  if (report.peaks) {
    json["peaks"] = {{"bytes_per_second", report.peaks->bytes_per_second},
                     {"flops_per_second", report.peaks->flops_per_second}};
  }
  json["checks"] = ordered_json::array();
  for (const CheckResult& check : report.checks) {
    json["checks"].push_back(
        {{"name", check.name}, {"holds", check.holds}, {"detail", check.detail}});
  }
  json["ops"] = ordered_json::array();
  for (const OpComparison& comparison : report.comparisons) {
    json["ops"].push_back({{"op", comparison.op},
                           {"activations", name_of(comparison.activations)},
                           {"error", comparison.error},
                           {"bound", comparison.bound},
                           {"holds", comparison.holds()}});
  }
  json["times"] = ordered_json::array();
  for (const OpTime& time : report.times) {
    json["times"].push_back({{"op", time.op},
                             {"calls", time.calls},
                             {"seconds", time.seconds},
                             {"bytes", time.cost.bytes},
                             {"flops", time.cost.flops}});
  }
  return json.dump(2) + "\n";
}

}  // namespace reformer
