// Files and pipes are read whole, and waiting for a pipe ends when it is told to.
#include "trainer/data/input_file.h"

#include <chrono>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/core/errors.h"
#include "tests/trainer/checkpoint_testing.h"

namespace reformer {
namespace {

using std::chrono::milliseconds;

class InputFileTest : public ::testing::Test {
 protected:
  static std::string whole(const std::string& path, size_t buffer_size) {
    InputFile file(path, nullptr);
    std::vector<char> buffer(buffer_size);
    std::string text;
    while (const size_t got = file.read(buffer).value()) text.append(buffer.data(), got);
    return text;
  }

  static std::string error_of(const std::string& path) {
    try {
      whole(path, 10);
    } catch (const DataError& error) {
      return error.what();
    }
    return "accepted";
  }

  std::string make_pipe() const {
    const std::string path = directory_.path() + "/pipe";
    EXPECT_EQ(mkfifo(path.c_str(), 0600), 0);
    return path;
  }

  const testing::TemporaryDirectory directory_;
};

TEST_F(InputFileTest, AFileIsReadWhole) {
  const std::string path = directory_.path() + "/file";
  testing::write_file(path, "one two three");
  for (const size_t size : {1u, 3u, 13u, 14u}) EXPECT_EQ(whole(path, size), "one two three");
  testing::write_file(path, "");
  EXPECT_EQ(whole(path, 5), "");
}

TEST_F(InputFileTest, APipeFillsTheBufferHoweverItComes) {
  const std::string path = make_pipe();
  std::thread feeder([&] {
    const int fd = open(path.c_str(), O_WRONLY);
    for (const char* const part : {"one ", "two"}) {
      std::this_thread::sleep_for(milliseconds(300));  // longer than one wait
      EXPECT_GT(write(fd, part, std::strlen(part)), 0);
    }
    close(fd);
  });
  InputFile file(path, nullptr);
  std::vector<char> buffer(100);
  EXPECT_EQ(file.read(buffer), 7u);
  EXPECT_EQ(std::string(buffer.data(), 7), "one two");
  EXPECT_EQ(file.read(buffer), 0u);
  feeder.join();
}

TEST_F(InputFileTest, WaitingForAPipeEndsWhenItIsToldTo) {
  const std::string path = make_pipe();
  std::atomic<bool> stop{false};
  std::vector<char> buffer(100);
  std::thread stopper([&] {
    std::this_thread::sleep_for(milliseconds(50));
    stop.store(true);
  });
  EXPECT_EQ(InputFile(path, &stop).read(buffer), std::nullopt) << "nobody writes";
  stopper.join();
  stop.store(false);
  const int fd = open(path.c_str(), O_RDWR);
  std::thread second([&] {
    std::this_thread::sleep_for(milliseconds(50));
    stop.store(true);
  });
  EXPECT_EQ(InputFile(path, &stop).read(buffer), std::nullopt) << "who writes says nothing";
  second.join();
  close(fd);
}

TEST_F(InputFileTest, WhatCannotBeReadIsNamed) {
  EXPECT_EQ(error_of("/nowhere/text"), "/nowhere/text: No such file or directory");
  EXPECT_EQ(error_of(directory_.path()), directory_.path() + ": is a directory, not a file");
}

}  // namespace
}  // namespace reformer
