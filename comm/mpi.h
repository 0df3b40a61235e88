// The ranks of a job that mpirun or srun started, over MPI.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "comm/communicator.h"

namespace reformer {

namespace mpi {
class MpiThread;

inline constexpr int64_t kPieceBytes = int64_t{1} << 20;
}  // namespace mpi

/// Name and version of the MPI library that is linked: "Open MPI v4.1.4, package: …". May be called
/// at any time.
std::string mpi_library_version();

/// MPI in this process, from its initialisation to its end. One per process, and only once.
class MpiWorld {
 public:
  /// Meets the other processes of the job. When they do not all come within setup.timeout, the
  /// process ends with a message, as a thread cannot be called back from MPI. No single MPI call
  /// moves more than `piece_bytes`.
  explicit MpiWorld(const CommunicatorSetup& setup = {}, int64_t piece_bytes = mpi::kPieceBytes);
  /// Collective, unless something failed before. All other communicators must be gone.
  ~MpiWorld();
  MpiWorld(const MpiWorld&) = delete;
  MpiWorld& operator=(const MpiWorld&) = delete;

  /// All ranks.
  Communicator& ranks() const { return *ranks_; }
  /// All ranks once more, apart from the other: what is under way there does not matter here,
  /// unless something was given up there, for then nothing works any more. Waits at most
  /// `kLastWordsTimeout`.
  Communicator& last_words() const { return *last_words_; }
  static constexpr std::chrono::seconds kLastWordsTimeout{2};

  /// Ranks on this machine, and this rank's place among them.
  int local_ranks() const { return local_ranks_; }
  int local_rank() const { return local_rank_; }
  /// Name of this machine.
  const std::string& host() const { return host_; }

  /// Ends all processes of the job with this exit status.
  [[noreturn]] void abort(int status);

 private:
  std::shared_ptr<mpi::MpiThread> thread_;
  std::unique_ptr<Communicator> ranks_;
  std::unique_ptr<Communicator> last_words_;
  int local_ranks_ = 1;
  int local_rank_ = 0;
  std::string host_;
};

}  // namespace reformer
