// Event files, read by the letter of TensorBoard's public format: framing, checksums and field
// numbers are spelled out here once more, without the code that wrote them.
#include "trainer/event_log.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numbers>

#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/full_disk.h"

namespace reformer {
namespace {

using testing::names_in;
using testing::read_file;

uint32_t masked_checksum(const std::string& bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0u);
  }
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

template <typename T>
T number_at(const std::string& bytes, size_t at) {
  T value{};
  std::memcpy(&value, bytes.substr(at, sizeof(T)).data(), sizeof(T));
  return value;
}

/// The records of a file; each has a good checksum.
std::vector<std::string> records_of(const std::string& path) {
  const std::string file = read_file(path);
  std::vector<std::string> records;
  for (size_t at = 0; at < file.size();) {
    const auto length = number_at<uint64_t>(file, at);
    EXPECT_EQ(number_at<uint32_t>(file, at + 8), masked_checksum(file.substr(at, 8)));
    records.push_back(file.substr(at + 12, length));
    EXPECT_EQ(number_at<uint32_t>(file, at + 12 + length), masked_checksum(records.back()));
    at += 16 + length;
  }
  return records;
}

/// Fields of a message by number: varints as a number, all else as bytes.
struct Field {
  uint64_t number = 0;
  std::string bytes;
};

std::multimap<int, Field> fields_of(const std::string& message) {
  std::multimap<int, Field> fields;
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<uint8_t>(message.at(at++));
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.size()) {
    const uint64_t key = varint();
    Field field;
    size_t size = 0;
    switch (key & 7) {
      case 0:
        field.number = varint();
        break;
      case 1:
        size = 8;
        break;
      case 2:
        size = varint();
        break;
      case 5:
        size = 4;
        break;
      default:
        ADD_FAILURE() << "wire type " << (key & 7);
        return fields;
    }
    field.bytes = message.substr(at, size);
    at += size;
    fields.emplace(static_cast<int>(key >> 3), field);
  }
  return fields;
}

/// Event: 1 wall time, 2 step, 3 version of the file, 5 summary, 7 session. Summary: 1 value, of
/// which 1 is the tag and 2 the number.
struct ReadEvent {
  int64_t step = 0;
  std::string version;
  uint64_t session_status = 0;
  std::map<std::string, float> values;
};

std::vector<ReadEvent> events_of(const std::string& path) {
  std::vector<ReadEvent> events;
  for (const std::string& record : records_of(path)) {
    ReadEvent event;
    for (const auto& [number, field] : fields_of(record)) {
      if (number == 1) {
        EXPECT_GT(number_at<double>(field.bytes, 0), 1.7e9);
      } else if (number == 2) {
        event.step = static_cast<int64_t>(field.number);
      } else if (number == 3) {
        event.version = field.bytes;
      } else if (number == 5) {
        for (const auto& [value_number, value] : fields_of(field.bytes)) {
          EXPECT_EQ(value_number, 1);
          const std::multimap<int, Field> parts = fields_of(value.bytes);
          event.values[parts.find(1)->second.bytes] =
              number_at<float>(parts.find(2)->second.bytes, 0);
        }
      } else if (number == 7) {
        event.session_status = fields_of(field.bytes).find(1)->second.number;
      } else {
        ADD_FAILURE() << "field " << number;
      }
    }
    events.push_back(event);
  }
  return events;
}

class EventLogTest : public ::testing::Test {
 protected:
  std::vector<ReadEvent> events_of_file(size_t index) const {
    return events_of(path_ + "/" + names_in(path_).at(index));
  }

  static StepMetrics step(int64_t number) {
    StepMetrics metrics;
    metrics.step = number;
    return metrics;
  }

  const testing::TemporaryDirectory directory_;
  const std::string path_ = directory_.path() + "/tensorboard";
};

TEST_F(EventLogTest, AFileBeginsWithItsVersionAndHasEveryNumber) {
  EventLog log(path_, 0);
  EXPECT_FALSE(std::filesystem::exists(path_)) << "no file without an event";
  EXPECT_TRUE(log.add(StepMetrics{.step = 300,
                                  .loss = 2,
                                  .accuracy = 0.5,
                                  .learning_rate = 0.25,
                                  .gradient_norm = 1.5,
                                  .tokens_per_second = 1000,
                                  .model_flops_per_second = 1e9,
                                  .seconds_waited = 0.125,
                                  .skipped = ""}));
  EXPECT_TRUE(log.add(EvaluationMetrics{.step = 300, .loss = 3, .accuracy = 0.25, .tokens = 7}));
  ASSERT_EQ(names_in(path_).size(), 1u);
  EXPECT_EQ(names_in(path_)[0].rfind("events.out.tfevents.", 0), 0u);
  const std::vector<ReadEvent> events = events_of_file(0);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].version, "brain.Event:2");
  EXPECT_EQ(events[1].session_status, 1u);
  EXPECT_EQ(events[1].step, 1);
  EXPECT_EQ(events[2].step, 300);
  EXPECT_EQ(events[2].values,
            (std::map<std::string, float>{
                {"train/loss", 2.0f},
                {"train/bits_per_token", static_cast<float>(2 / std::numbers::ln2)},
                {"train/accuracy", 0.5f},
                {"train/learning_rate", 0.25f},
                {"train/gradient_norm", 1.5f},
                {"speed/tokens_per_second", 1000.0f},
                {"speed/model_flops_per_second", 1e9f},
                {"speed/seconds_waited", 0.125f}}));
  EXPECT_EQ(events[3].step, 300);
  EXPECT_EQ(events[3].values,
            (std::map<std::string, float>{
                {"held_out/loss", 3.0f},
                {"held_out/bits_per_token", static_cast<float>(3 / std::numbers::ln2)},
                {"held_out/accuracy", 0.25f}}));
}

TEST_F(EventLogTest, WhatAnEvaluationSawOfTheHashIsThere) {
  EventLog log(path_, 0);
  EvaluationMetrics metrics{.step = 1, .loss = 3, .accuracy = 0.25, .tokens = 7};
  metrics.lsh = {{.layer = 0,
                  .head = 0,
                  .found_mass = 0.75,
                  .window_overflow = 0.5,
                  .occupied_buckets = 1,
                  .largest_bucket = 3},
                 {.layer = 2,
                  .head = 0,
                  .found_mass = 0.25,
                  .window_overflow = 0.25,
                  .occupied_buckets = 0.5,
                  .largest_bucket = 5}};
  EXPECT_TRUE(log.add(metrics));
  std::map<std::string, float> values = events_of_file(0).at(2).values;
  for (const char* held_out : {"loss", "bits_per_token", "accuracy"}) {
    EXPECT_EQ(values.erase(std::string("held_out/") + held_out), 1u);
  }
  EXPECT_EQ(values, (std::map<std::string, float>{{"lsh/found_mass", 0.5f},
                                                  {"lsh/least_found_mass", 0.25f},
                                                  {"lsh/window_overflow", 0.375f},
                                                  {"lsh/occupied_buckets", 0.75f},
                                                  {"lsh/largest_bucket", 4.0f}}));
}

TEST_F(EventLogTest, AnotherStartHasALaterFileThatTakesItsStepsBack) {
  for (const int64_t last_step : {0, 6, 5}) {  // all within a second
    EventLog log(path_, last_step);
    EXPECT_TRUE(log.add(step(last_step + 1)));
  }
  ASSERT_EQ(names_in(path_).size(), 3u);
  const int64_t expected[] = {1, 7, 6};
  for (size_t file = 0; file < 3; ++file) {
    const std::vector<ReadEvent> events = events_of_file(file);
    ASSERT_EQ(events.size(), 3u);
    EXPECT_EQ(events[1].session_status, 1u);
    EXPECT_EQ(events[1].step, expected[file]) << "steps from here on count no more";
    EXPECT_EQ(events[2].step, expected[file]);
  }
}

TEST_F(EventLogTest, FilesOfOthersDoNotMatter) {
  std::filesystem::create_directory(path_);
  for (const char* const name : {"notes", "events.out.tfevents.", "events.out.tfevents.x"}) {
    testing::write_file(path_ + "/" + name, "");
  }
  testing::write_file(path_ + "/events.out.tfevents.4000000000.host",
                      "");  // a clock that was wrong
  EXPECT_TRUE(EventLog(path_, 0).add(step(1)));
  EXPECT_EQ(names_in(path_)[2].rfind("events.out.tfevents.4000000001.", 0), 0u);
}

TEST_F(EventLogTest, NumbersThatAreNoneStayNone) {
  EventLog log(path_, 0);
  StepMetrics metrics = step(1);
  metrics.loss = std::numeric_limits<double>::quiet_NaN();
  metrics.gradient_norm = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(log.add(metrics));
  const ReadEvent event = events_of_file(0).back();
  EXPECT_TRUE(std::isnan(event.values.at("train/loss")));
  EXPECT_TRUE(std::isinf(event.values.at("train/gradient_norm")));
}

TEST_F(EventLogTest, AFullDiskLosesWholeEvents) {
  EventLog log(path_, 0);
  {
    const testing::FullDisk disk(20);
    EXPECT_FALSE(log.add(step(1)));  // not even the head of the file
    EXPECT_TRUE(names_in(path_).empty());
  }
  {
    const testing::FullDisk disk(1000);
    int64_t number = 2;
    while (log.add(step(number))) ASSERT_LT(++number, 100);
  }
  EXPECT_TRUE(log.add(step(100)));
  const std::vector<ReadEvent> events = events_of_file(0);
  EXPECT_GT(events.size(), 3u);
  EXPECT_EQ(events.back().step, 100);
}

TEST_F(EventLogTest, ADirectoryThatCannotBeMadeIsSaid) {
  testing::write_file(path_, "in the way");
  EXPECT_FALSE(EventLog(path_, 0).add(step(1)));
}

}  // namespace
}  // namespace reformer
