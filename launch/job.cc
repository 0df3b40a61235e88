#include "launch/job.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include "comm/mpi.h"
#include "comm/self.h"
#include "kernels/core/errors.h"
#include "launch/exit_codes.h"
#include "launch/rank_cores.h"

namespace reformer {
namespace {

/// True when every rank has failed with the same message by now.
bool all_failed_alike(MpiWorld& world, const std::string& message) {
  try {
    const std::vector<std::string> messages = world.last_words().gather_text(message, "last words");
    return std::all_of(messages.begin(), messages.end(),
                       [&](const std::string& other) { return other == message; });
  } catch (const CommError&) {
    return false;  // somebody is still at work
  }
}

int fail(MpiWorld& world, const std::exception& error) {
  const ExitCode code = exit_code_of(error);
  const std::string message = message_of(error);
  const int rank = world.ranks().rank();
  if (all_failed_alike(world, message)) {
    if (rank == 0) fmt::print(stderr, "reformer: error: {}\n", message);
    return code;
  }
  fmt::print(stderr, "reformer: rank {} on {}: error: {}\n", rank, world.host(), message);
  world.abort(code);
}

/// " although SLURM_NTASKS=4: …" when the environment says that a single process belongs to more;
/// else empty.
std::string describe_lost_launcher(const Environment& get) {
  struct Launcher {
    const char* variable;
    const char* advice;
  };
  // The first one that is set says it: a job step is part of an allocation.
  constexpr Launcher kLaunchers[] = {
      {"OMPI_COMM_WORLD_SIZE", "is the program linked with the same MPI as mpirun?"},
      {"PMI_SIZE", "is the program linked with the same MPI as the launcher?"},
      {"SLURM_STEP_NUM_TASKS", "start with srun --mpi=pmix, or with mpirun"},
      {"SLURM_NTASKS", "start with srun --mpi=pmix, or with mpirun"}};
  for (const auto& [variable, advice] : kLaunchers) {
    const char* const value = get(variable);
    if (value == nullptr) continue;
    if (std::atoll(value) <= 1) return "";
    return fmt::format(" although {}={}: {}", variable, value, advice);
  }
  return "";
}

}  // namespace

int run_as_rank(const std::function<int(const RankPlace&)>& body) {
  const Environment environment = [](const char* name) { return std::getenv(name); };
  undo_default_binding(environment);
  if (!is_started_by_mpi(environment)) {
    SelfCommunicator alone;
    return body({.communicator = alone, .host = ""});
  }
  MpiWorld world;
  try {
    const int code = body({.communicator = world.ranks(),
                           .host = world.host(),
                           .local_ranks = world.local_ranks(),
                           .world = &world});
    world.ranks().barrier("end of the run");
    return code;
  } catch (const std::exception& error) {
    return fail(world, error);
  }
}

bool is_started_by_mpi(const Environment& get) {
  const auto is_set = [&](const char* name) { return get(name) != nullptr; };
  return is_set("OMPI_COMM_WORLD_SIZE") || is_set("PMIX_RANK") || is_set("PMI_RANK");
}

void require_ranks(int ranks, int64_t expected, const Environment& get) {
  if (expected == ranks || (expected == 0 && ranks > 1)) return;
  const std::string lost = ranks == 1 ? describe_lost_launcher(get) : "";
  if (expected != 0) {
    throw ConfigError(
        fmt::format("execution.ranks is {} and the run has {} {}; start it with mpirun -n {}, or "
                    "set execution.ranks to 0{}",
                    expected, ranks, ranks == 1 ? "rank" : "ranks", expected, lost));
  }
  if (lost.empty()) return;
  throw ConfigError(
      fmt::format("this process is alone{}; --set execution.ranks=1 if one rank is wanted", lost));
}

}  // namespace reformer
