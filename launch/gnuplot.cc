#include "launch/gnuplot.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

namespace fs = std::filesystem;

/// A directory of its own, gone at the end.
class ScratchDirectory {
 public:
  ScratchDirectory() : path_((fs::temp_directory_path() / "reformer-plot-XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) {
      throw DataError(fmt::format("{}: cannot be created: {}", path_, std::strerror(errno)));
    }
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  std::string operator/(const char* name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// Runs gnuplot with one argument, without the user's own settings, and returns its exit status.
/// What it says goes to the file `messages`.
int run_gnuplot(std::string argument, const std::string& messages) {
  std::string program = "gnuplot";
  std::string without_settings = "-d";
  char* const arguments[] = {program.data(), without_settings.data(), argument.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) {
    posix_spawn_file_actions_addopen(&actions, stream, messages.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
  }
  pid_t process = 0;
  const int error = posix_spawnp(&process, program.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error == ENOENT) {
    throw ConfigError("gnuplot is not installed; its Debian package is gnuplot-nox");
  }
  if (error != 0) throw ConfigError(fmt::format("gnuplot: {}", std::strerror(error)));
  int status = 0;
  while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// The first line of a file that is not empty.
std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  while (line.empty() && std::getline(file, line)) {
  }
  return line;
}

/// Beside `to` first, so that nobody sees half a picture.
void put_in_place(const std::string& from, const std::string& to) {
  const std::string partial = to + ".partial";
  std::error_code error;
  fs::copy_file(from, partial, fs::copy_options::overwrite_existing, error);
  if (!error) fs::rename(partial, to, error);
  if (!error) return;
  const std::string reason = error.message();
  fs::remove(partial, error);
  throw DataError(fmt::format("{}: cannot be written: {}", to, reason));
}

}  // namespace

std::string picture_format(const std::string& path) {
  const std::string extension = fs::path(path).extension().string();
  if (extension == ".svg" || extension == ".png") return extension.substr(1);
  throw ConfigError(fmt::format("{}: is no name of a picture, legal: NAME.svg, NAME.png", path));
}

void require_gnuplot() {
  run_gnuplot("--version", "/dev/null");
}

void draw_picture(const std::string& output,
                  const std::function<std::string(const std::string& path)>& script) {
  const ScratchDirectory scratch;
  const std::string picture = scratch / "picture";
  std::ofstream file(scratch / "script");
  file << script(picture);
  if (!file.flush()) throw DataError(scratch / "script" + ": cannot be written");
  const std::string messages = scratch / "messages";
  if (run_gnuplot(scratch / "script", messages) != 0) {
    const std::string line = first_line(messages);
    throw DataError(fmt::format("gnuplot failed: {}", line.empty() ? "it said nothing" : line));
  }
  put_in_place(picture, output);
}

}  // namespace reformer
