// The job that this process belongs to: alone, or one of many that mpirun or srun started.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "comm/communicator.h"
#include "comm/mpi.h"

namespace reformer {

/// What a rank knows of its place.
struct RankPlace {
  Communicator& communicator;
  std::string host;           // name of this machine
  int local_ranks = 1;        // on this machine
  MpiWorld* world = nullptr;  // the job's ranks; null when this one is alone
};

/// Runs `body` as one rank of the job and returns its exit code. Whatever a rank throws ends the
/// whole job: if all ranks fail alike at about the same time, rank 0 prints the message and all
/// return its exit code; else each that fails prints its own, with rank and machine, and takes the
/// others with it. Alone, exceptions leave this function.
int run_as_rank(const std::function<int(const RankPlace&)>& body);

/// The value of an environment variable, or nullptr.
using Environment = std::function<const char*(const char*)>;

/// True when an MPI launcher started this process.
bool is_started_by_mpi(const Environment& get);

/// Throws ConfigError when the run has `ranks` ranks and `expected` (execution.ranks) says
/// otherwise; or, where that is 0, when one rank is alone although the environment says that it
/// belongs to more: then every process would train a model of its own.
void require_ranks(int ranks, int64_t expected, const Environment& get);

}  // namespace reformer
