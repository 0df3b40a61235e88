// The flight recorder: a ring of the last operations of a rank, in a mapped file. What a rank was
// doing can be read after it was killed, or while it hangs, by any other process.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "comm/operation.h"

namespace reformer {

/// One operation in the ring. Plain bytes: this is the file format.
struct FlightRecord {
  uint64_t index = 0;       // place among all operations of the rank, from 1; 0: empty
  int64_t started_us = 0;   // microseconds since 1970
  int64_t finished_us = 0;  // when it had been waited for and was complete; 0: not yet
  int64_t sequence = 0;     // see Operation
  int64_t elements = 0;
  int32_t peer = -1;
  OperationKind kind{};
  DType dtype{};
  uint8_t unused[2] = {};
  char tag[40] = {};  // ends at the first zero
};

/// Used by any thread.
class FlightRecorder {
 public:
  static constexpr size_t kCapacity = 1024;

  /// In memory alone.
  FlightRecorder();
  ~FlightRecorder();
  FlightRecorder(const FlightRecorder&) = delete;
  FlightRecorder& operator=(const FlightRecorder&) = delete;

  /// From now on in the file `path`, which is replaced; its folder is created if need be. Throws
  /// CommError if it cannot be written, and the record stays where it was.
  void keep_in(const std::string& path);

  /// Enters an operation; returns its index, 0 after end().
  uint64_t start(const Operation& operation);
  /// Enters the operation that brought the rank down, however long ago it was started, as the last
  /// one: from now on nothing is entered any more.
  void end(const Operation& operation);
  /// Marks it as finished. An index that has left the ring, or was never in it, is ignored.
  void finish(uint64_t index);

  /// What is in the ring, oldest first.
  std::vector<FlightRecord> records() const;

 private:
  void enter(const Operation& operation);
  FlightRecord& slot(uint64_t index) const { return ring_[(index - 1) % kCapacity]; }

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  FlightRecord* ring_;  // [kCapacity], mapped
  uint64_t last_ = 0;
  bool ended_ = false;
};

/// The ring in the file `path`, oldest first. Throws CommError if it is none.
std::vector<FlightRecord> read_flight_records(const std::string& path);

/// "all-gather #12 of 4096 float32 (parameters), started 10:31:07, not finished".
std::string describe(const FlightRecord& record);

}  // namespace reformer
