#include "trainer/metrics.h"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numbers>

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{:.17g}", value) : "null";
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

[[noreturn]] void fail(const std::string& path, const char* action) {
  throw DataError(fmt::format("{}: cannot {}: {}", path, action, std::strerror(errno)));
}

/// Rewrites the file without the steps after `last_step` and without a torn last line.
void drop_later_steps(const std::string& path, int64_t last_step) {
  std::ifstream old_file(path);
  if (!old_file && errno == ENOENT) return;
  old_file.peek();  // a directory opens like a file and fails here
  if (old_file.fail() && !old_file.eof()) fail(path, "read");
  const std::string new_path = path + ".tmp";
  {
    std::ofstream new_file(new_path, std::ios::trunc);
    std::string line;
    while (std::getline(old_file, line)) {
      const std::optional<int64_t> step = step_of_line(line);
      const bool whole = !old_file.eof();
      if (whole && step && *step <= last_step) new_file << line << '\n';
    }
    if (old_file.bad()) fail(path, "read");
    if (!new_file.flush()) fail(new_path, "write");
  }
  std::error_code error;
  std::filesystem::rename(new_path, path, error);
  if (error) throw DataError(fmt::format("{}: cannot replace: {}", path, error.message()));
}

}  // namespace

double bits_from_nats(double nats) {
  return nats / std::numbers::ln2;
}

MetricsLog::MetricsLog(const std::string& path, int64_t last_step) {
  drop_later_steps(path, last_step);
  file_ = std::make_unique<AppendingFile>(path);
}

bool MetricsLog::add(const StepMetrics& metrics) {
  return write_line(to_json(metrics));
}
bool MetricsLog::add(const EvaluationMetrics& metrics) {
  return write_line(to_json(metrics));
}

std::string to_json(const StepMetrics& metrics) {
  return fmt::format(
      R"({{"step":{},"loss":{},"bits_per_token":{},"accuracy":{},"learning_rate":{},)"
      R"("gradient_norm":{},"tokens_per_second":{},"model_flops_per_second":{},"seconds_waited":{},)"
      R"("skipped":{}}})",
      metrics.step, number(metrics.loss), number(bits_from_nats(metrics.loss)),
      number(metrics.accuracy), number(metrics.learning_rate), number(metrics.gradient_norm),
      number(metrics.tokens_per_second), number(metrics.model_flops_per_second),
      number(metrics.seconds_waited), metrics.skipped.empty() ? "false" : quoted(metrics.skipped));
}

std::string to_json(const EvaluationMetrics& metrics) {
  std::string lsh;
  for (const HeadHealth& head : metrics.lsh) {
    lsh += fmt::format(R"({}{{"layer":{},"head":{},"found_mass":{},"window_overflow":{},)"
                       R"("occupied_buckets":{},"largest_bucket":{}}})",
                       lsh.empty() ? "" : ",", head.layer, head.head, number(head.found_mass),
                       number(head.window_overflow), number(head.occupied_buckets),
                       number(head.largest_bucket));
  }
  return fmt::format(R"({{"step":{},"validation_loss":{},"validation_bits_per_token":{},)"
                     R"("validation_accuracy":{},"validation_tokens":{}{}}})",
                     metrics.step, number(metrics.loss), number(bits_from_nats(metrics.loss)),
                     number(metrics.accuracy), metrics.tokens,
                     lsh.empty() ? "" : R"(,"lsh":[)" + lsh + "]");
}

std::optional<int64_t> step_of_line(const std::string& line) {
  constexpr std::string_view kPrefix = "{\"step\":";
  if (line.rfind(kPrefix, 0) != 0) return std::nullopt;
  int64_t step = 0;
  const char* const begin = line.data() + kPrefix.size();
  const auto [end, error] = std::from_chars(begin, line.data() + line.size(), step);
  if (error != std::errc() || end == begin) return std::nullopt;
  return step;
}

}  // namespace reformer
