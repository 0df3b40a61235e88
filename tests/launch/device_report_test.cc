// What the check of a device prints and writes.
#include "launch/device_report.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace reformer {
namespace {

constexpr DevicePeaks kPeaks{.bytes_per_second = 1e12, .flops_per_second = 1e14};

std::vector<OpTime> times() {
  return {{.op = "linear", .calls = 2, .seconds = 3e-3, .cost = {.flops = 1.5e11, .bytes = 3e8}},
          {.op = "layer_norm", .calls = 1, .seconds = 1e-3, .cost = {.flops = 0, .bytes = 5e8}}};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(DeviceReportTest, TimesHaveRatesAndShares) {
  const std::string table = times_table(times(), kPeaks);
  EXPECT_TRUE(contains(table, "linear                        2      3.000   75.0%  100.0 (10%)"))
      << table;
  EXPECT_TRUE(contains(table, "50.00 (50%)")) << table;
  EXPECT_TRUE(contains(table, "layer_norm                    1      1.000   25.0%  500.0 (50%)"))
      << table;
  EXPECT_TRUE(contains(table, "all                                  4.000")) << table;
}

TEST(DeviceReportTest, WithoutPeaksThereAreNoShares) {
  const std::string table = times_table(times(), std::nullopt);
  EXPECT_TRUE(contains(table, "  500.0 ")) << table;
  EXPECT_FALSE(contains(table, "(")) << table;
}

TEST(DeviceReportTest, FloorsAreTheLargerOfTrafficAndArithmetic) {
  const std::string table = floors_table(times(), kPeaks);
  EXPECT_TRUE(contains(table, "1.500  products")) << table;
  EXPECT_TRUE(contains(table, "0.500  memory")) << table;
  EXPECT_TRUE(contains(table, "2.000\n")) << table;
}

TEST(DeviceReportTest, JsonHasEverything) {
  const DeviceReport report{.device = "one",
                            .numeric_identity = "cuda/one",
                            .checks = {{.name = "a", .holds = false, .detail = "b"}},
                            .comparisons = {{.op = "linear",
                                             .activations = DType::kBFloat16,
                                             .error = 0.5,
                                             .bound = 0.25}},
                            .times = times(),
                            .peaks = kPeaks};
  const auto json = nlohmann::json::parse(to_json(report));
  EXPECT_EQ(json["device"], "one");
  EXPECT_EQ(json["checks"][0]["holds"], false);
  EXPECT_EQ(json["ops"][0]["activations"], "bfloat16");
  EXPECT_EQ(json["ops"][0]["holds"], false);
  EXPECT_EQ(json["times"][1]["op"], "layer_norm");
  EXPECT_EQ(json["times"][0]["flops"], 1.5e11);
  EXPECT_EQ(json["peaks"]["bytes_per_second"], 1e12);
}

}  // namespace
}  // namespace reformer
