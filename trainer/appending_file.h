// A file that grows by whole records and outlives a full disk.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

namespace reformer {

class AppendingFile {
 public:
  /// Opens `path` behind what it holds. Throws DataError when it cannot.
  explicit AppendingFile(const std::string& path);

  /// Hands the record to the system, whole; or, on a full disk, takes back what of it reached the
  /// file, so that the next does not continue it, and returns false.
  bool append(std::string_view record);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  uintmax_t size_ = 0;  // bytes of whole records
};

}  // namespace reformer
