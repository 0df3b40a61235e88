// Other programs, run for what they say.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace reformer::doctor {

/// Status of a program that is there and could not be started, as in shells.
inline constexpr int kNotStarted = 126;

struct CommandResult {
  bool found = false;  // the program is there
  bool timed_out = false;
  int status = -1;          // exit status; 128 + number for a signal; kNotStarted
  std::string output = {};  // of both streams; why it was not started
};

/// Runs `arguments`, the first of which is looked up in PATH, with `environment` ("NAME=value")
/// added to this process's, and ends it with all of its children after `timeout`.
CommandResult run_command(const std::vector<std::string>& arguments,
                          const std::vector<std::string>& environment,
                          std::chrono::milliseconds timeout);

/// The last line of a text that is not blank, which tends to tell what went wrong.
std::string last_line(const std::string& text);

}  // namespace reformer::doctor
