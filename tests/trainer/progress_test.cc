// What a person sees: on a pipe and on a terminal.
#include "trainer/progress.h"

#include <memory>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/trainer/checkpoint_testing.h"

namespace reformer {
namespace {

using testing::read_file;
using testing::TemporaryDirectory;

ProgressLine line_of(int64_t step) {
  return {.step = step,
          .steps = 300,
          .loss = 2.345,
          .token_name = "byte",
          .learning_rate = 1e-3,
          .gradient_norm = 0.75,
          .tokens_per_second = 1234.4,
          .model_flops_per_second = 5.25e9,
          .gemm_share = 0,
          .waited_share = 0,
          .memory_bytes = size_t{3} << 20,
          .seconds_left = 45};
}

TEST(ProgressFormatTest, SaysEverythingInOneLine) {
  ProgressLine line = line_of(12);
  EXPECT_EQ(format(line),
            "step 12/300  loss 2.3450  3.3831 bits/byte  lr 1.00e-03  |g| 0.750  1234 tok/s  "
            "5.2 GFLOP/s  3.0 MiB  45 s left");
  line.gemm_share = 0.345;
  testing::expect_contains(format(line), "5.2 GFLOP/s (34% of sgemm)  3.0 MiB");
  line.waited_share = 0.08;
  testing::expect_contains(format(line), "of sgemm)  8% waiting  3.0 MiB");
}

TEST(ProgressFormatTest, DurationsHaveTheUnitThatSaysMost) {
  EXPECT_EQ(format_duration(0), "0 s");
  EXPECT_EQ(format_duration(99), "99 s");
  EXPECT_EQ(format_duration(100), "2 min");
  EXPECT_EQ(format_duration(99 * 60), "99 min");
  EXPECT_EQ(format_duration(100 * 60), "1.7 h");
  EXPECT_EQ(format_duration(47.9 * 3600), "47.9 h");
  EXPECT_EQ(format_duration(48 * 3600), "2.0 d");
}

/// A file that is no terminal.
class PlainProgressTest : public ::testing::Test {
 protected:
  TemporaryDirectory directory_;
  const std::string log_path_ = directory_.path() + "/train.log";
  const std::string output_path_ = directory_.path() + "/output";
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> output_{std::fopen(output_path_.c_str(), "w"),
                                                          &std::fclose};
};

TEST_F(PlainProgressTest, LinesGoToTheOutputAndToTheLogAtOnce) {
  Progress progress(log_path_, output_.get());
  progress.say("hello");
  progress.show(line_of(1), /*important=*/true);
  const std::string expected = "hello\n" + format(line_of(1)) + "\n";
  EXPECT_EQ(read_file(output_path_), expected);
  EXPECT_EQ(read_file(log_path_), expected);
}

TEST_F(PlainProgressTest, StepsThatFollowAtOnceAreLeftOutUnlessImportant) {
  Progress progress(log_path_, output_.get());
  progress.show(line_of(1), /*important=*/true);
  for (int64_t step = 2; step < 50; ++step) progress.show(line_of(step), /*important=*/false);
  progress.show(line_of(50), /*important=*/true);
  const std::string expected = format(line_of(1)) + "\n" + format(line_of(50)) + "\n";
  EXPECT_EQ(read_file(output_path_), expected);
  EXPECT_EQ(read_file(log_path_), expected);
}

TEST_F(PlainProgressTest, TheFirstStepIsShownWithoutWaiting) {
  Progress progress(log_path_, output_.get());
  progress.show(line_of(1), /*important=*/false);
  EXPECT_EQ(read_file(output_path_), format(line_of(1)) + "\n");
}

TEST_F(PlainProgressTest, TheLogIsAppendedTo) {
  Progress(log_path_, output_.get()).say("first");
  Progress(log_path_, output_.get()).say("second");
  EXPECT_EQ(read_file(log_path_), "first\nsecond\n");
}

TEST_F(PlainProgressTest, ALogThatCannotBeOpenedIsNamed) {
  try {
    Progress progress(directory_.path() + "/missing/train.log", output_.get());
    FAIL() << "it was opened";
  } catch (const DataError& error) {
    EXPECT_EQ(error.what(), directory_.path() +
                                "/missing/train.log: cannot open for writing: No such file or "
                                "directory");
  }
}

/// A pseudo-terminal of 40 columns; what is written to output() comes out of read().
class TerminalProgressTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_GE(master_, 0);
    ASSERT_EQ(grantpt(master_), 0);
    ASSERT_EQ(unlockpt(master_), 0);
    output_.reset(std::fopen(ptsname(master_), "w"));
    ASSERT_NE(output_, nullptr);
    resize(40);
  }
  ~TerminalProgressTest() override {
    output_.reset();
    close(master_);
  }

  void resize(unsigned short columns) {
    winsize size{};
    size.ws_row = 24;
    size.ws_col = columns;
    ASSERT_EQ(ioctl(master_, TIOCSWINSZ, &size), 0);
  }

  /// All that was written since the last call; the terminal writes "\r\n" for "\n".
  std::string read() {
    std::string text;
    pollfd ready{.fd = master_, .events = POLLIN, .revents = 0};
    while (poll(&ready, 1, 100) > 0) {
      char buffer[4096];
      const ssize_t size = ::read(master_, buffer, sizeof buffer);
      if (size <= 0) break;
      text.append(buffer, static_cast<size_t>(size));
    }
    return text;
  }

  const int master_ = posix_openpt(O_RDWR | O_NOCTTY);
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> output_{nullptr, &std::fclose};
  TemporaryDirectory directory_;
  const std::string log_path_ = directory_.path() + "/train.log";
};

const std::string kErase = "\r\x1b[K";

TEST_F(TerminalProgressTest, EveryStepRewritesOneLineCutToTheWidth) {
  Progress progress(log_path_, output_.get());
  progress.show(line_of(1), /*important=*/false);
  EXPECT_EQ(read(), kErase + format(line_of(1)).substr(0, 39));
  progress.show(line_of(2), /*important=*/false);
  EXPECT_EQ(read(), kErase + format(line_of(2)).substr(0, 39));
  resize(300);
  progress.show(line_of(3), /*important=*/false);
  EXPECT_EQ(read(), kErase + format(line_of(3)));
  resize(1);
  progress.show(line_of(4), /*important=*/false);
  EXPECT_EQ(read(), kErase);
  EXPECT_EQ(read_file(log_path_), "") << "the live line is not for the log";
}

TEST_F(TerminalProgressTest, InPlainStyleATerminalIsWrittenToLikeAFile) {
  Progress progress(log_path_, output_.get(), Progress::Style::kPlain);
  progress.show(line_of(1), /*important=*/false);
  progress.show(line_of(2), /*important=*/false);
  progress.say("saved");
  EXPECT_EQ(read(), format(line_of(1)) + "\r\nsaved\r\n");
}

TEST_F(TerminalProgressTest, WholeLinesTakeThePlaceOfTheLiveLine) {
  Progress progress(log_path_, output_.get());
  progress.show(line_of(1), /*important=*/false);
  read();
  progress.say("saved");
  EXPECT_EQ(read(), kErase + "saved\r\n");
  progress.show(line_of(2), /*important=*/true);
  EXPECT_EQ(read(), format(line_of(2)) + "\r\n") << "there was no live line to erase";
  progress.show(line_of(3), /*important=*/false);
  EXPECT_EQ(read(), kErase + format(line_of(3)).substr(0, 39));
  EXPECT_EQ(read_file(log_path_), "saved\n" + format(line_of(2)) + "\n");
}

TEST_F(TerminalProgressTest, TheLiveLineIsGoneAtTheEnd) {
  {
    Progress progress(log_path_, output_.get());
    progress.show(line_of(1), /*important=*/false);
    read();
  }
  EXPECT_EQ(read(), kErase);
}

}  // namespace
}  // namespace reformer
