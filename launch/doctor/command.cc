#include "launch/doctor/command.h"

#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/core/check.h"

namespace reformer::doctor {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMostOutput = size_t{1} << 20;

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

/// Starts it in a process group of its own, with `output` as both of its streams. Returns 0, or why
/// it could not.
int start(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
          int output, pid_t& pid) {
  std::vector<std::string> variables = environment;
  for (char** variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  const int fault = posix_spawnp(&pid, arguments[0].c_str(), &actions, &attributes,
                                 pointers_to(arguments).data(), pointers_to(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return fault;
}

/// Reads until the other end is closed. False when the time was over before.
bool read_all(int input, Clock::time_point deadline, std::string& text) {
  char bytes[4096];
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd waiting{.fd = input, .events = POLLIN, .revents = 0};
    if (poll(&waiting, 1, static_cast<int>(left)) <= 0) continue;
    const ssize_t got = read(input, bytes, sizeof(bytes));
    if (got == 0 || (got < 0 && errno != EINTR)) return true;
    if (got > 0 && text.size() < kMostOutput) text.append(bytes, static_cast<size_t>(got));
  }
}

}  // namespace

CommandResult run_command(const std::vector<std::string>& arguments,
                          const std::vector<std::string>& environment,
                          std::chrono::milliseconds timeout) {
  CHECK(!arguments.empty());
  const auto not_started = [&](int fault) -> CommandResult {
    return {.found = fault != ENOENT,
            .status = kNotStarted,
            .output = fmt::format("{}: {}", arguments[0], std::strerror(fault))};
  };
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return not_started(errno);
  pid_t pid = -1;
  const int fault = start(arguments, environment, ends[1], pid);
  close(ends[1]);
  if (fault != 0) {
    close(ends[0]);
    return not_started(fault);
  }
  CommandResult result{.found = true};
  result.timed_out = !read_all(ends[0], Clock::now() + timeout, result.output);
  if (result.timed_out) kill(-pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  close(ends[0]);  // not before: what writes into it would end of that
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

std::string last_line(const std::string& text) {
  const size_t end = text.find_last_not_of(" \t\r\n-");
  if (end == std::string::npos) return "";
  const size_t begin = text.rfind('\n', end);
  return text.substr(begin == std::string::npos ? 0 : begin + 1,
                     end - (begin == std::string::npos ? 0 : begin + 1) + 1);
}

}  // namespace reformer::doctor
