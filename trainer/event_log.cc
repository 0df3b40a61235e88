#include "trainer/event_log.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>

#include "kernels/core/errors.h"
#include "trainer/checkpoint/durable_file.h"

namespace reformer {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrefix = "events.out.tfevents.";

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  char name[256] = {};
  return gethostname(name, sizeof(name) - 1) == 0 && name[0] != '\0' ? name : "localhost";
}

/// The number that a file's name has after the prefix; 0 for other files.
int64_t stamp_of(const std::string& name) {
  int64_t stamp = 0;
  if (name.starts_with(kPrefix)) {
    std::from_chars(name.data() + std::string_view(kPrefix).size(), name.data() + name.size(),
                    stamp);
  }
  return stamp;
}

/// TensorBoard reads files in the order of their names: later than all that are there, whatever
/// the clock says.
std::string next_path(const std::string& directory) {
  auto stamp = static_cast<int64_t>(seconds_since_1970());
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    stamp = std::max(stamp, stamp_of(entry.path().filename().string()) + 1);
  }
  return fmt::format("{}/{}{:010d}.{}", directory, kPrefix, stamp, host_name());
}

tensorboard::Event event_of(int64_t step) {
  tensorboard::Event event;
  event.set_wall_time(seconds_since_1970());
  event.set_step(step);
  return event;
}

void add_value(tensorboard::Event& event, const char* tag, double value) {
  tensorboard::Summary::Value& added = *event.mutable_summary()->add_value();
  added.set_tag(tag);
  added.set_simple_value(static_cast<float>(value));
}

uint32_t masked_crc32c(const std::string& bytes) {
  const uint32_t crc = crc32c(bytes.data(), bytes.size());
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

template <typename T>
std::string bytes_of(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace

EventLog::EventLog(std::string directory, int64_t last_step)
    : directory_(std::move(directory)), last_step_(last_step) {}

bool EventLog::add(const StepMetrics& metrics) {
  tensorboard::Event event = event_of(metrics.step);
  add_value(event, "train/loss", metrics.loss);
  add_value(event, "train/bits_per_token", bits_from_nats(metrics.loss));
  add_value(event, "train/accuracy", metrics.accuracy);
  add_value(event, "train/learning_rate", metrics.learning_rate);
  add_value(event, "train/gradient_norm", metrics.gradient_norm);
  add_value(event, "speed/tokens_per_second", metrics.tokens_per_second);
  add_value(event, "speed/model_flops_per_second", metrics.model_flops_per_second);
  add_value(event, "speed/seconds_waited", metrics.seconds_waited);
  return add(std::move(event));
}

bool EventLog::add(const EvaluationMetrics& metrics) {
  tensorboard::Event event = event_of(metrics.step);
  add_value(event, "held_out/loss", metrics.loss);
  add_value(event, "held_out/bits_per_token", bits_from_nats(metrics.loss));
  add_value(event, "held_out/accuracy", metrics.accuracy);
  if (!metrics.lsh.empty()) {
    add_value(event, "lsh/found_mass", mean_of(metrics.lsh, &HeadHealth::found_mass));
    add_value(event, "lsh/least_found_mass", least_found(metrics.lsh).found_mass);
    add_value(event, "lsh/window_overflow", mean_of(metrics.lsh, &HeadHealth::window_overflow));
    add_value(event, "lsh/occupied_buckets", mean_of(metrics.lsh, &HeadHealth::occupied_buckets));
    add_value(event, "lsh/largest_bucket", mean_of(metrics.lsh, &HeadHealth::largest_bucket));
  }
  return add(std::move(event));
}

bool EventLog::add(tensorboard::Event event) {
  return (file_ || open()) && file_->append(frame_record(event.SerializeAsString()));
}

bool EventLog::open() {
  tensorboard::Event version = event_of(0);
  version.set_file_version("brain.Event:2");
  tensorboard::Event start = event_of(last_step_ + 1);
  start.mutable_session_log()->set_status(tensorboard::SessionLog::START);
  std::string path;
  try {
    fs::create_directories(directory_);
    path = next_path(directory_);
    file_ = std::make_unique<AppendingFile>(path);
  } catch (const fs::filesystem_error&) {
    return false;
  } catch (const DataError&) {
    return false;
  }
  if (file_->append(frame_record(version.SerializeAsString()) +
                    frame_record(start.SerializeAsString()))) {
    return true;
  }
  // Without its head the file would be of no use.
  file_.reset();
  std::error_code ignored;
  fs::remove(path, ignored);
  return false;
}

std::string frame_record(const std::string& bytes) {
  const std::string length = bytes_of(static_cast<uint64_t>(bytes.size()));
  return length + bytes_of(masked_crc32c(length)) + bytes + bytes_of(masked_crc32c(bytes));
}

}  // namespace reformer
