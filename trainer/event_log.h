// Event files for TensorBoard: the numbers of metrics.jsonl, for
//
//   tensorboard --logdir RUN
//
// Every start that gets as far as a step writes a file of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "trainer/appending_file.h"
#include "trainer/event.pb.h"
#include "trainer/metrics.h"

namespace reformer {

class EventLog {
 public:
  /// Writes into `directory`, which is created with the first event. Steps after `last_step` that
  /// older files hold are run again: TensorBoard is told to forget them.
  EventLog(std::string directory, int64_t last_step);

  /// Each event is written at once, whole or, on a full disk, not at all: then false is returned.
  bool add(const StepMetrics& metrics);
  bool add(const EvaluationMetrics& metrics);

 private:
  bool add(tensorboard::Event event);
  bool open();

  std::string directory_;
  int64_t last_step_;
  std::unique_ptr<AppendingFile> file_;
};

/// A record as event files have it: length, its checksum, the bytes, their checksum.
std::string frame_record(const std::string& bytes);

}  // namespace reformer
