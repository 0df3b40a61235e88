// A file or pipe, read from its beginning to its end by who may be told to stop while it waits.
#pragma once

#include <atomic>
#include <optional>
#include <span>
#include <string>

namespace reformer {

class InputFile {
 public:
  /// Does not wait for a pipe's other end. `stop` may be null, and else outlives this. Throws
  /// DataError, as `read` does, naming the file, when it is missing, a directory or unreadable.
  InputFile(const std::string& path, const std::atomic<bool>* stop);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  /// Fills `buffer`, and returns how many bytes these are: fewer at the end alone. None as soon as
  /// `stop` is true, a few hundred milliseconds later where it waits for a pipe.
  std::optional<size_t> read(std::span<char> buffer);

 private:
  [[noreturn]] void fail(int error) const;
  bool is_stopped() const { return stop_ != nullptr && stop_->load(); }

  std::string path_;
  const std::atomic<bool>* stop_;
  int fd_ = -1;
};

}  // namespace reformer
