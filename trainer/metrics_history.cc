#include "trainer/metrics_history.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

using Json = nlohmann::json;

double number(const Json& line, const char* key) {
  const Json& value = line.at(key);
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

StepMetrics step_of(const Json& line) {
  const Json& skipped = line.at("skipped");
  return {.step = line.at("step").get<int64_t>(),
          .loss = number(line, "loss"),
          .accuracy = number(line, "accuracy"),
          .learning_rate = number(line, "learning_rate"),
          .gradient_norm = number(line, "gradient_norm"),
          .tokens_per_second = number(line, "tokens_per_second"),
          .model_flops_per_second = number(line, "model_flops_per_second"),
          .seconds_waited = number(line, "seconds_waited"),
          .skipped = skipped.is_string() ? skipped.get<std::string>() : ""};
}

HeadHealth health_of(const Json& head) {
  return {.layer = head.at("layer").get<int>(),
          .head = head.at("head").get<int64_t>(),
          .found_mass = number(head, "found_mass"),
          .window_overflow = number(head, "window_overflow"),
          .occupied_buckets = number(head, "occupied_buckets"),
          .largest_bucket = number(head, "largest_bucket")};
}

EvaluationMetrics evaluation_of(const Json& line) {
  EvaluationMetrics metrics{.step = line.at("step").get<int64_t>(),
                            .loss = number(line, "validation_loss"),
                            .accuracy = number(line, "validation_accuracy"),
                            .tokens = line.at("validation_tokens").get<int64_t>(),
                            .lsh = {}};
  if (!line.contains("lsh")) return metrics;
  for (const Json& head : line.at("lsh")) metrics.lsh.push_back(health_of(head));
  return metrics;
}

}  // namespace

MetricsHistory read_metrics(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw DataError(fmt::format("{}: {}", path, std::strerror(errno)));
  file.peek();  // a directory opens like a file and fails here
  if (file.fail() && !file.eof()) {
    throw DataError(fmt::format("{}: {}", path, std::strerror(errno)));
  }
  MetricsHistory history;
  std::string text;
  for (int64_t number = 1; std::getline(file, text) && !file.eof(); ++number) {
    try {
      const Json line = Json::parse(text);
      if (line.contains("validation_loss")) {
        history.evaluations.push_back(evaluation_of(line));
      } else {
        history.steps.push_back(step_of(line));
      }
    } catch (const Json::exception&) {
      throw DataError(fmt::format("{}:{}: is no line of metrics", path, number));
    }
  }
  return history;
}

}  // namespace reformer
