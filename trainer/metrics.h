// metrics.jsonl: what happened in each step and evaluation, one JSON object a line.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trainer/appending_file.h"
#include "trainer/evaluation/lsh_health.h"

namespace reformer {

struct StepMetrics {
  int64_t step = 0;
  double loss = 0;  // nats per token
  double accuracy = 0;
  double learning_rate = 0;
  double gradient_norm = 0;
  double tokens_per_second = 0;
  double model_flops_per_second = 0;
  double seconds_waited = 0;  // for other ranks, see StepResult
  std::string skipped;        // why the update was skipped; empty if it was not
};

struct EvaluationMetrics {
  int64_t step = 0;
  double loss = 0;  // nats per token
  double accuracy = 0;
  int64_t tokens = 0;
  std::vector<HeadHealth> lsh{};  // of every LSH layer and head; empty if not looked at
};

/// Bits per token; per byte when tokens are bytes.
double bits_from_nats(double nats);

class MetricsLog {
 public:
  /// Opens `path` for appending and drops lines of steps after `last_step`, which will be run
  /// again. Throws DataError when the file cannot be read or written.
  MetricsLog(const std::string& path, int64_t last_step);

  /// Each line is written at once, whole or, on a full disk, not at all: then false is returned.
  /// Numbers have full precision; non-finite ones become null.
  bool add(const StepMetrics& metrics);
  bool add(const EvaluationMetrics& metrics);

 private:
  bool write_line(const std::string& line) { return file_->append(line + '\n'); }

  std::unique_ptr<AppendingFile> file_;
};

std::string to_json(const StepMetrics& metrics);
std::string to_json(const EvaluationMetrics& metrics);

/// The value of "step" in a line of the file, if it has one.
std::optional<int64_t> step_of_line(const std::string& line);

}  // namespace reformer
