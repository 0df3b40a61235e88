// One long sequence of tokens on the disk, however it is stored.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace reformer {

/// Thread-safe: all members are const.
class TokenStream {
 public:
  virtual ~TokenStream() = default;

  /// Tokens in all.
  virtual int64_t size() const = 0;

  /// Tokens [begin, begin + tokens.size()). Throws DataError where the file turns out to be
  /// damaged. REQUIRES: they are there.
  virtual void read(int64_t begin, std::span<int32_t> tokens) const = 0;

  /// Every token is in [0, vocabulary).
  virtual int64_t vocabulary() const = 0;

  /// The file or folder, as messages name it.
  virtual const std::string& path() const = 0;
};

}  // namespace reformer
