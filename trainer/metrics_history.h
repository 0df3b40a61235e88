// What metrics.jsonl tells of a run.
#pragma once

#include <string>
#include <vector>

#include "trainer/metrics.h"

namespace reformer {

struct MetricsHistory {
  std::vector<StepMetrics> steps;
  std::vector<EvaluationMetrics> evaluations;
};

/// Reads the lines that MetricsLog wrote; numbers that it could not write (null) are NaN. A last
/// line without an end, which a process is about to write or died in, is left out. Throws DataError
/// with file and line.
MetricsHistory read_metrics(const std::string& path);

}  // namespace reformer
