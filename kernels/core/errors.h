// Faults of the outside world, as opposed to bugs (check.h). Each type has its own exit code in
// launch/exit_codes.h; the message is one line that names the file, key, value and legal values.
#pragma once

#include <stdexcept>

namespace reformer {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A configuration that cannot be read or cannot work.
class ConfigError : public Error {
 public:
  using Error::Error;
};

/// Training or evaluation data that is missing, unreadable, too short or out of range.
class DataError : public Error {
 public:
  using Error::Error;
};

/// A checkpoint that is missing, damaged, of another shape, or cannot be written.
class CheckpointError : public Error {
 public:
  using Error::Error;
};

/// A device that is absent or fails, or too little memory on it.
class DeviceError : public Error {
 public:
  using Error::Error;
};

/// A rank that is unreachable or disagrees with the others.
class CommError : public Error {
 public:
  using Error::Error;
};

/// Training that cannot go on: the loss or the gradient stays non-finite.
class DivergenceError : public Error {
 public:
  using Error::Error;
};

}  // namespace reformer
