// The ring of the last operations, in memory and in a file.
#include "comm/flight_recorder.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

class FlightRecorderTest : public ::testing::Test {
 protected:
  FlightRecorderTest() { EXPECT_NE(mkdtemp(folder_), nullptr); }
  ~FlightRecorderTest() override { std::filesystem::remove_all(folder_); }

  std::string file() const { return std::string(folder_) + "/ring"; }

 private:
  char folder_[24] = "/tmp/flight-XXXXXX";
};

Operation operation(int64_t sequence) {
  static float values[3];
  return {.kind = OperationKind::kBroadcast,
          .tag = "parameters of a layer with quite a long name, cut off",
          .data = View(values, DType::kFloat32, {3}),
          .peer = 2,
          .sequence = sequence};
}

TEST_F(FlightRecorderTest, RemembersWhatWasStartedAndWhatIsFinished) {
  FlightRecorder recorder;
  EXPECT_TRUE(recorder.records().empty());
  const uint64_t first = recorder.start(operation(1));
  recorder.start(operation(2));
  recorder.finish(first);
  const std::vector<FlightRecord> records = recorder.records();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_GE(records[0].finished_us, records[0].started_us);
  EXPECT_EQ(records[1].finished_us, 0);
  EXPECT_EQ(records[1].sequence, 2);
  EXPECT_EQ(records[1].elements, 3);
  EXPECT_EQ(records[1].peer, 2);
  EXPECT_EQ(records[1].kind, OperationKind::kBroadcast);
  EXPECT_EQ(records[1].dtype, DType::kFloat32);
  EXPECT_EQ(std::string(records[1].tag), "parameters of a layer with quite a long");

  EXPECT_NE(describe(records[0]).find("broadcast #1 of 3 float32"), std::string::npos);
  EXPECT_NE(describe(records[0]).find("finished after"), std::string::npos);
  EXPECT_NE(describe(records[1]).find("not finished"), std::string::npos);
}

TEST_F(FlightRecorderTest, EndsWithTheOperationThatFailed) {
  FlightRecorder recorder;
  recorder.start(operation(1));
  recorder.start(operation(2));
  recorder.end(operation(1));
  recorder.finish(recorder.start(operation(3)));
  recorder.end(operation(2));
  const std::vector<FlightRecord> records = recorder.records();
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records.back().sequence, 1);
  EXPECT_EQ(records.back().finished_us, 0);
}

TEST_F(FlightRecorderTest, KeepsTheNewestInOrder) {
  FlightRecorder recorder;
  const int64_t count = static_cast<int64_t>(FlightRecorder::kCapacity) + 10;
  for (int64_t i = 1; i <= count; ++i) recorder.start(operation(i));
  recorder.finish(1);  // left long ago: must not touch the one that took its place
  const std::vector<FlightRecord> records = recorder.records();
  ASSERT_EQ(records.size(), FlightRecorder::kCapacity);
  EXPECT_EQ(records.front().sequence, 11);
  EXPECT_EQ(records.back().sequence, count);
  for (const FlightRecord& record : records) EXPECT_EQ(record.finished_us, 0);
}

TEST_F(FlightRecorderTest, AnotherProcessReadsItFromTheFile) {
  FlightRecorder recorder;
  recorder.start(operation(1));
  recorder.keep_in(file());  // whose folder may be missing
  recorder.start(operation(2));
  // Without any sync or close, as after SIGKILL.
  const std::vector<FlightRecord> records = read_flight_records(file());
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].sequence, 1);
  EXPECT_EQ(records[1].sequence, 2);
}

TEST_F(FlightRecorderTest, ANewRunReplacesTheFile) {
  {
    FlightRecorder old;
    old.keep_in(file());
    old.start(operation(1));
  }
  FlightRecorder recorder;
  recorder.keep_in(file());
  EXPECT_TRUE(read_flight_records(file()).empty());
}

TEST_F(FlightRecorderTest, FilesThatAreNoneAreRefused) {
  EXPECT_THROW(read_flight_records(file()), CommError);
  std::ofstream(file()) << "something else";
  FlightRecorder recorder;
  EXPECT_THROW(recorder.keep_in(file() + "/inside/a/file"), CommError);
  recorder.start(operation(1));
  EXPECT_EQ(recorder.records().size(), 1u);
  EXPECT_THROW(read_flight_records(file()), CommError);
}

TEST_F(FlightRecorderTest, AnotherVersionIsRefused) {
  {
    FlightRecorder recorder;
    recorder.keep_in(file());
  }
  std::fstream(file(), std::ios::in | std::ios::out | std::ios::binary)
      .seekp(static_cast<std::streamoff>(std::string("reformer flight recorder ").size()))
      .put('2');
  EXPECT_THROW(read_flight_records(file()), CommError);
}

}  // namespace
}  // namespace reformer
