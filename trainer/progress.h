// What a person sees of a run: plain lines in a pipe or a file, one live line on a terminal, and
// train.log.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

namespace reformer {

/// One moment of training.
struct ProgressLine {
  int64_t step = 0;
  int64_t steps = 0;                 // of the whole run
  double loss = 0;                   // nats per token
  const char* token_name = "token";  // "byte"
  double learning_rate = 0;
  double gradient_norm = 0;
  double tokens_per_second = 0;
  double model_flops_per_second = 0;
  double gemm_share = 0;    // of the rate of matrix products on this machine; 0: not known
  double waited_share = 0;  // of the step's time, for other ranks; 0: not shown
  size_t memory_bytes = 0;
  double seconds_left = 0;
};

/// "step 12/300  loss 2.345  3.383 bits/byte  …".
std::string format(const ProgressLine& line);

/// "45 s", "12 min", "3.4 h", "2.1 d".
std::string format_duration(double seconds);

class Progress {
 public:
  /// How steps are shown on the output.
  enum class Style {
    kLiveOnTerminal,  // by rewriting one line, if it is a terminal
    kPlain,           // mpirun hands its processes a terminal whatever its own output is
  };

  /// `log_path` is appended to. Throws DataError if it cannot be opened. `output` is where a person
  /// looks.
  Progress(const std::string& log_path, std::FILE* output, Style style = Style::kLiveOnTerminal);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// A line of its own, on the output and in the log.
  void say(const std::string& text);

  /// Shows a step: in the live line, or else in a line of its own at most every few seconds.
  /// `important` lines are always printed and logged.
  void show(const ProgressLine& line, bool important);

 private:
  void erase_live_line();
  void print(const std::string& text);

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> log_;
  std::FILE* output_;
  bool terminal_;
  bool live_line_shown_ = false;
  std::chrono::steady_clock::time_point last_printed_{};
};

}  // namespace reformer
