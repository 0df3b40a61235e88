// What `reformer check --device cuda` prints and writes: results of checks, errors of ops, times of
// kernels beside what the device could do.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trainer/checks/check.h"
#include "trainer/checks/device_checks.h"

namespace reformer {

struct DeviceReport {
  std::string device{};
  std::string numeric_identity{};
  std::vector<CheckResult> checks{};
  std::vector<OpComparison> comparisons{};
  std::vector<OpTime> times{};
  std::optional<DevicePeaks> peaks{};  // unknown: no shares are told
};

/// One line for each op, the longest first: calls, milliseconds, share of the step, GB/s and
/// TFLOP/s with their shares of the peaks.
std::string times_table(const std::vector<OpTime>& times, const std::optional<DevicePeaks>& peaks);

/// The shortest time that each op may take on a device with these peaks, milliseconds, and what
/// bounds it.
std::string floors_table(const std::vector<OpTime>& counts, const DevicePeaks& peaks);

/// Everything, as JSON.
std::string to_json(const DeviceReport& report);

}  // namespace reformer
