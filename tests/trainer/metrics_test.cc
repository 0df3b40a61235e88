// metrics.jsonl: numbers that survive the round trip, and a file that resumes where training does.
#include "trainer/metrics.h"

#include <cmath>
#include <cstdlib>
#include <limits>

#include <gtest/gtest.h>

#include "tests/trainer/checkpoint_testing.h"
#include "tests/trainer/full_disk.h"

namespace reformer {
namespace {

using testing::read_file;
using testing::TemporaryDirectory;
using testing::write_file;

/// The text between `"key":` and the next comma or brace.
std::string value_of(const std::string& json, const std::string& key) {
  const std::string label = "\"" + key + "\":";
  const size_t at = json.find(label);
  if (at == std::string::npos) return "absent";
  const size_t begin = at + label.size();
  return json.substr(begin, json.find_first_of(",}", begin) - begin);
}

StepMetrics step_metrics(int64_t step) {
  StepMetrics metrics;
  metrics.step = step;
  metrics.loss = 1.0 / 3;
  return metrics;
}

EvaluationMetrics evaluation_metrics(int64_t step) {
  EvaluationMetrics metrics;
  metrics.step = step;
  return metrics;
}

/// The steps of the lines of a file.
std::vector<int64_t> steps_in(const std::string& path) {
  std::ifstream file(path);
  std::vector<int64_t> steps;
  for (std::string line; std::getline(file, line);) {
    steps.push_back(step_of_line(line).value_or(-1));
  }
  return steps;
}

TEST(MetricsTest, AStepIsOneObjectWithEveryField) {
  StepMetrics metrics;
  metrics.step = 12;
  metrics.loss = 2;
  metrics.accuracy = 0.5;
  metrics.learning_rate = 0.25;
  metrics.gradient_norm = 1.5;
  metrics.tokens_per_second = 1000;
  metrics.model_flops_per_second = 1e9;
  metrics.seconds_waited = 0.125;
  EXPECT_EQ(to_json(metrics),
            R"({"step":12,"loss":2,"bits_per_token":2.8853900817779268,"accuracy":0.5,)"
            R"("learning_rate":0.25,"gradient_norm":1.5,"tokens_per_second":1000,)"
            R"("model_flops_per_second":1000000000,"seconds_waited":0.125,"skipped":false})");
  metrics.skipped = "a \"bad\" \\ step";
  EXPECT_EQ(value_of(to_json(metrics), "skipped"), R"("a \"bad\" \\ step")");
}

TEST(MetricsTest, AnEvaluationIsOneObjectWithEveryField) {
  EvaluationMetrics metrics{.step = 3, .loss = 1, .accuracy = 0.25, .tokens = 77, .lsh = {}};
  const std::string fields =
      R"({"step":3,"validation_loss":1,"validation_bits_per_token":1.4426950408889634,)"
      R"("validation_accuracy":0.25,"validation_tokens":77)";
  EXPECT_EQ(to_json(metrics), fields + "}");
  const HeadHealth head{.layer = 2,
                        .head = 1,
                        .found_mass = 0.5,
                        .window_overflow = 0.25,
                        .occupied_buckets = 0.75,
                        .largest_bucket = 3};
  metrics.lsh = {head, head};
  const std::string of_head =
      R"({"layer":2,"head":1,"found_mass":0.5,"window_overflow":0.25,"occupied_buckets":0.75,)"
      R"("largest_bucket":3})";
  EXPECT_EQ(to_json(metrics), fields + R"(,"lsh":[)" + of_head + "," + of_head + "]}");
}

TEST(MetricsTest, NumbersKeepEveryBit) {
  for (double loss :
       {1.0 / 3, 0.1, 5e-324, std::numeric_limits<double>::max(), std::nextafter(1.0, 2.0), -0.0}) {
    StepMetrics metrics;
    metrics.loss = loss;
    const double read = std::strtod(value_of(to_json(metrics), "loss").c_str(), nullptr);
    EXPECT_EQ(read, loss);
  }
}

TEST(MetricsTest, NumbersThatJsonDoesNotHaveAreNull) {
  for (double loss :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
        -std::numeric_limits<double>::infinity()}) {
    StepMetrics metrics;
    metrics.loss = loss;
    metrics.gradient_norm = loss;
    const std::string json = to_json(metrics);
    EXPECT_EQ(value_of(json, "loss"), "null");
    EXPECT_EQ(value_of(json, "bits_per_token"), "null");
    EXPECT_EQ(value_of(json, "gradient_norm"), "null");
  }
}

TEST(MetricsTest, ALineTellsItsStep) {
  EXPECT_EQ(step_of_line(to_json(step_metrics(41))), 41);
  EXPECT_EQ(step_of_line(to_json(evaluation_metrics(42))), 42);
  for (const char* line :
       {"", "{", "{\"step\":", "{\"step\":x}", "{\"loss\":3}", " {\"step\":3}"}) {
    EXPECT_EQ(step_of_line(line), std::nullopt) << line;
  }
}

class MetricsLogTest : public ::testing::Test {
 protected:
  TemporaryDirectory directory_;
  const std::string path_ = directory_.path() + "/metrics.jsonl";
};

TEST_F(MetricsLogTest, EachLineIsInTheFileAtOnce) {
  MetricsLog log(path_, 0);
  log.add(step_metrics(1));
  EXPECT_EQ(read_file(path_), to_json(step_metrics(1)) + "\n");
  log.add(evaluation_metrics(1));
  EXPECT_EQ(read_file(path_),
            to_json(step_metrics(1)) + "\n" + to_json(evaluation_metrics(1)) + "\n");
}

TEST_F(MetricsLogTest, AResumedRunDropsTheStepsThatItRunsAgain) {
  {
    MetricsLog log(path_, 0);
    for (int64_t step = 1; step <= 6; ++step) log.add(step_metrics(step));
    log.add(evaluation_metrics(6));
  }
  {
    MetricsLog log(path_, 4);
    EXPECT_EQ(steps_in(path_), (std::vector<int64_t>{1, 2, 3, 4}));
    log.add(step_metrics(5));
  }
  EXPECT_EQ(steps_in(path_), (std::vector<int64_t>{1, 2, 3, 4, 5}));
  const MetricsLog anew(path_, 0);
  EXPECT_EQ(read_file(path_), "");
}

TEST_F(MetricsLogTest, ATornLastLineIsDroppedWhereverItEnds) {
  const std::string whole = to_json(step_metrics(1)) + "\n";
  const std::string torn = to_json(step_metrics(2));
  for (size_t size = 0; size <= torn.size(); ++size) {
    write_file(path_, whole + torn.substr(0, size));
    MetricsLog log(path_, 10);
    log.add(step_metrics(2));
    EXPECT_EQ(read_file(path_), whole + torn + "\n") << "torn after " << size;
  }
  EXPECT_EQ(testing::names_in(directory_.path()), std::vector<std::string>{"metrics.jsonl"});
}

TEST_F(MetricsLogTest, LinesOfOthersAreDropped) {
  write_file(path_, "\n{}\nnot json\n" + to_json(step_metrics(1)) + "\n");
  const MetricsLog log(path_, 1);
  EXPECT_EQ(steps_in(path_), std::vector<int64_t>{1});
}

TEST_F(MetricsLogTest, AFullDiskLosesWholeLines) {
  MetricsLog log(path_, 0);
  log.add(step_metrics(1));
  {
    const testing::FullDisk disk(to_json(step_metrics(1)).size() + 50);
    for (int64_t step = 2; step <= 40; ++step) log.add(step_metrics(step));
  }
  log.add(step_metrics(41));
  EXPECT_EQ(read_file(path_), to_json(step_metrics(1)) + "\n" + to_json(step_metrics(41)) + "\n");
}

TEST_F(MetricsLogTest, AFileThatCannotBeReadIsNotReplaced) {
  std::filesystem::create_symlink(path_, path_);
  try {
    MetricsLog log(path_, 0);
    ADD_FAILURE() << "it was opened";
  } catch (const DataError& error) {
    EXPECT_EQ(error.what(), path_ + ": cannot read: Too many levels of symbolic links");
  }
  const std::string folder = directory_.path() + "/folder";
  std::filesystem::create_directory(folder);
  EXPECT_THROW(MetricsLog(folder, 0), DataError);
  EXPECT_FALSE(std::filesystem::exists(folder + ".tmp"));
}

TEST_F(MetricsLogTest, AFileThatCannotBeWrittenIsNamed) {
  for (const std::string& path :
       {directory_.path(), directory_.path() + "/missing/metrics.jsonl"}) {
    try {
      MetricsLog log(path, 0);
      ADD_FAILURE() << path << " was opened";
    } catch (const DataError& error) {
      testing::expect_contains(error.what(), path + ": cannot ");
    }
  }
}

}  // namespace
}  // namespace reformer
