// A ZIP archive of entries that are not compressed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct zip;  // of libzip

namespace reformer {

class ZipArchive {
 public:
  /// Throws DataError, as all members do, naming the file, and the entry where there is one.
  explicit ZipArchive(const std::string& path);

  std::vector<std::string> names() const;
  bool has(const std::string& name) const;

  /// Bytes of an entry. Throws when there is none, when it is compressed or when it claims more
  /// than the file has: so a small file cannot ask for much memory.
  size_t size_of(const std::string& name) const;

  /// The whole entry, compared with its checksum.
  std::vector<uint8_t> read(const std::string& name) const;

 private:
  struct Close {
    void operator()(zip* archive) const;
  };

  [[noreturn]] void fail(const std::string& name, const std::string& reason) const;

  std::string path_;
  uint64_t file_bytes_ = 0;
  std::unique_ptr<zip, Close> archive_;
};

}  // namespace reformer
