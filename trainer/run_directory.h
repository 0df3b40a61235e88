// Where things are in a run directory, and who may write there.
#pragma once

#include <string>
#include <vector>

namespace reformer {

struct RunDirectory {
  std::string path;

  std::string config() const { return path + "/config.txtpb"; }    // resolved configuration
  std::string log() const { return path + "/train.log"; }          // what was printed
  std::string metrics() const { return path + "/metrics.jsonl"; }  // one object a step
  std::string events() const { return path + "/tensorboard"; }     // the same for TensorBoard
  std::string checkpoints() const { return path + "/checkpoints"; }
  std::string flight_records() const { return path + "/flight"; }  // one file for each rank
  std::string flight_record(int rank) const;
};

/// Files of flight records that lie there.
std::vector<std::string> list_flight_records(const RunDirectory& directory);

/// Holds a run directory for one process. The system lets go of it when the process ends, however
/// it ends.
class RunLock {
 public:
  /// Creates the directory and its parts where they are missing, and removes flight records of
  /// earlier starts. Throws DataError when it cannot create them, or when another process holds the
  /// directory.
  explicit RunLock(const RunDirectory& directory);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int fd_;
};

}  // namespace reformer
