// Running other programs.
#include "launch/doctor/command.h"

#include <csignal>

#include <gtest/gtest.h>
#include <sys/time.h>

namespace reformer::doctor {
namespace {

using namespace std::chrono_literals;

TEST(CommandTest, BothStreamsAndTheStatusComeBack) {
  const CommandResult result = run_command({"sh", "-c", "echo out; echo err >&2; exit 7"}, {}, 10s);
  EXPECT_TRUE(result.found);
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.status, 7);
  EXPECT_EQ(result.output, "out\nerr\n");
  EXPECT_EQ(run_command({"sh", "-c", "kill -TERM $$"}, {}, 10s).status, 128 + 15);
}

TEST(CommandTest, VariablesAreAdded) {
  const CommandResult result =
      run_command({"sh", "-c", "echo $DOCTOR_TEST; test -n \"$PATH\""}, {"DOCTOR_TEST=x y"}, 10s);
  EXPECT_EQ(result.output, "x y\n");
  EXPECT_EQ(result.status, 0) << "the others are still there";
}

TEST(CommandTest, NothingIsReadFromTheTerminal) {
  EXPECT_EQ(run_command({"cat"}, {}, 10s).output, "");
}

TEST(CommandTest, AMissingProgramIsNotFound) {
  EXPECT_FALSE(run_command({"no-such-program-anywhere"}, {}, 10s).found);
}

TEST(CommandTest, AProgramThatCannotBeStartedIsFound) {
  const CommandResult result = run_command({"/etc/passwd"}, {}, 10s);
  EXPECT_TRUE(result.found);
  EXPECT_EQ(result.status, kNotStarted);
  EXPECT_EQ(result.output, "/etc/passwd: Permission denied");
}

TEST(CommandTest, ASignalEndsNoWait) {
  struct sigaction noted {};  // without SA_RESTART: waits are interrupted
  struct sigaction before {};
  noted.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGALRM, &noted, &before), 0);
  const itimerval soon{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_usec = 200'000}};
  ASSERT_EQ(setitimer(ITIMER_REAL, &soon, nullptr), 0);
  EXPECT_EQ(run_command({"sh", "-c", "exec >&- 2>&-; sleep 1; exit 7"}, {}, 10s).status, 7);
  ASSERT_EQ(sigaction(SIGALRM, &before, nullptr), 0);
}

TEST(CommandTest, WhatTakesTooLongIsEndedWithItsChildren) {
  const auto start = std::chrono::steady_clock::now();
  const CommandResult result =
      run_command({"sh", "-c", "echo begun; sleep 60 & sleep 60"}, {}, 300ms);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
  EXPECT_TRUE(result.timed_out);
  EXPECT_EQ(result.status, 128 + 9);
  EXPECT_EQ(result.output, "begun\n");
}

TEST(CommandTest, MuchOutputIsCutNotWaitedFor) {
  const CommandResult result = run_command({"head", "-c", "5000000", "/dev/zero"}, {}, 30s);
  EXPECT_EQ(result.status, 0);
  EXPECT_GE(result.output.size(), size_t{1} << 20);
  EXPECT_LT(result.output.size(), size_t{2} << 20);
}

TEST(LastLineTest, SkipsWhatSaysNothing) {
  EXPECT_EQ(last_line("one\ntwo\n\n-----\n"), "two");
  EXPECT_EQ(last_line("one"), "one");
  EXPECT_EQ(last_line("\n---\n"), "");
  EXPECT_EQ(last_line(""), "");
}

}  // namespace
}  // namespace reformer::doctor
