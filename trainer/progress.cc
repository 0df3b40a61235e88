#include "trainer/progress.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kernels/core/errors.h"
#include "trainer/memory_plan.h"
#include "trainer/metrics.h"

namespace reformer {
namespace {

constexpr std::chrono::seconds kPlainLineInterval{5};

/// Columns of the terminal behind `file`, or 0 if it is none.
size_t terminal_columns(std::FILE* file) {
  winsize size{};
  const int fd = fileno(file);
  if (!isatty(fd)) return 0;
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::FILE* open_log(const std::string& path) {
  std::FILE* const file = std::fopen(path.c_str(), "a");
  if (file != nullptr) return file;
  throw DataError(fmt::format("{}: cannot open for writing: {}", path, std::strerror(errno)));
}

}  // namespace

std::string format(const ProgressLine& line) {
  std::string text = fmt::format(
      "step {}/{}  loss {:.4f}  {:.4f} bits/{}  lr {:.2e}  |g| {:.3f}  {:.0f} tok/s  {:.1f} "
      "GFLOP/s",
      line.step, line.steps, line.loss, bits_from_nats(line.loss), line.token_name,
      line.learning_rate, line.gradient_norm, line.tokens_per_second,
      line.model_flops_per_second * 1e-9);
  if (line.gemm_share > 0) text += fmt::format(" ({:.0f}% of sgemm)", line.gemm_share * 100);
  if (line.waited_share > 0) text += fmt::format("  {:.0f}% waiting", line.waited_share * 100);
  return text + fmt::format("  {}  {} left", format_bytes(line.memory_bytes),
                            format_duration(line.seconds_left));
}

std::string format_duration(double seconds) {
  if (seconds < 100) return fmt::format("{:.0f} s", seconds);
  if (seconds < 100 * 60) return fmt::format("{:.0f} min", seconds / 60);
  if (seconds < 48 * 3600) return fmt::format("{:.1f} h", seconds / 3600);
  return fmt::format("{:.1f} d", seconds / 86400);
}

Progress::Progress(const std::string& log_path, std::FILE* output, Style style)
    : log_(open_log(log_path)),
      output_(output),
      terminal_(style == Style::kLiveOnTerminal && terminal_columns(output) > 0) {}

Progress::~Progress() {
  erase_live_line();
}

void Progress::say(const std::string& text) {
  erase_live_line();
  print(text);
}

void Progress::show(const ProgressLine& line, bool important) {
  const auto now = std::chrono::steady_clock::now();
  const bool due = now - last_printed_ >= kPlainLineInterval;
  const std::string text = format(line);
  if (important || (due && !terminal_)) {
    erase_live_line();
    print(text);
    last_printed_ = now;
    return;
  }
  if (!terminal_) return;
  // Cut to the terminal, so that rewriting the line never scrolls.
  const std::string cut = text.substr(0, terminal_columns(output_) - 1);
  fmt::print(output_, "\r\x1b[K{}", cut);
  std::fflush(output_);
  live_line_shown_ = true;
}

void Progress::erase_live_line() {
  if (!live_line_shown_) return;
  fmt::print(output_, "\r\x1b[K");
  std::fflush(output_);
  live_line_shown_ = false;
}

void Progress::print(const std::string& text) {
  fmt::print(output_, "{}\n", text);
  std::fflush(output_);
  std::fputs((text + '\n').c_str(), log_.get());
  std::fflush(log_.get());
}

}  // namespace reformer
