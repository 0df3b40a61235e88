#include "comm/mpi.h"

#include <fmt/format.h>

#include "comm/mpi_operations.h"
#include "comm/mpi_thread.h"
#include "kernels/core/errors.h"

namespace reformer {
namespace {

using mpi::MpiThread;

class MpiCompletion final : public Completion {
 public:
  MpiCompletion(std::shared_ptr<MpiThread> thread, std::shared_ptr<MpiThread::Job> job)
      : thread_(std::move(thread)), job_(std::move(job)) {}

  ~MpiCompletion() override {
    if (!complete_) thread_->give_up("[comm] an operation of this rank was given up");
  }

  bool wait_until(std::chrono::steady_clock::time_point deadline) override {
    complete_ = thread_->wait_until(job_, deadline);
    return complete_;
  }

 private:
  std::shared_ptr<MpiThread> thread_;
  std::shared_ptr<MpiThread::Job> job_;
  bool complete_ = false;
};

/// Runs `call`, which may block, on the communication thread, and waits for it.
void run_there(const std::shared_ptr<MpiThread>& thread, std::chrono::milliseconds timeout,
               const std::string& what, const std::function<void()>& call) {
  // A coroutine without a single wait: the whole of it is its first step.
  const auto steps = [](std::function<void()> body) -> mpi::Steps {
    body();
    co_return;
  };
  MpiCompletion completion(thread, thread->submit([&] { return steps(call); }));
  if (!completion.wait_until(std::chrono::steady_clock::now() + timeout)) {
    throw CommError(
        fmt::format("[comm] {} has waited {} for the other ranks", what, describe(timeout)));
  }
}

/// Where this rank is in `comm`. Collective; on the communication thread.
mpi::Group group_of(MPI_Comm comm, int64_t piece_bytes) {
  mpi::Group group{.comm = comm, .piece_bytes = piece_bytes};
  MPI_Comm_rank(comm, &group.rank);
  MPI_Comm_size(comm, &group.size);
  MPI_Comm here = MPI_COMM_NULL;
  mpi::check(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here),
             "MPI_Comm_split_type");
  MPI_Comm_rank(here, &group.local_rank);
  MPI_Comm_size(here, &group.local_ranks);
  MPI_Comm_free(&here);
  const int first_here = group.local_rank == 0 ? 1 : 0;
  mpi::check(MPI_Allreduce(&first_here, &group.machines, 1, MPI_INT, MPI_SUM, comm),
             "MPI_Allreduce");
  return group;
}

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(std::shared_ptr<MpiThread> thread, const mpi::Group& group,
                  CommunicatorSetup setup)
      : Communicator(group.rank, group.size, std::move(setup)),
        thread_(std::move(thread)),
        group_(group) {}

  std::string description() const override {
    return fmt::format("{} rank{} on {} machine{}", size(), size() == 1 ? "" : "s", group_.machines,
                       group_.machines == 1 ? "" : "s");
  }

 private:
  std::unique_ptr<Completion> begin(const Operation& operation) override {
    return std::make_unique<MpiCompletion>(thread_, thread_->submit([operation, group = group_] {
      return mpi::carry_out(operation, group);
    }));
  }

  std::unique_ptr<Communicator> begin_split(const Operation& operation) override {
    mpi::Group group;
    run_there(thread_, setup().timeout, describe(operation), [&] {
      MPI_Comm comm = MPI_COMM_NULL;
      mpi::check(MPI_Comm_split(group_.comm, operation.peer, rank(), &comm), "MPI_Comm_split");
      group = group_of(comm, group_.piece_bytes);
    });
    return std::make_unique<MpiCommunicator>(thread_, group, setup());
  }

  std::shared_ptr<MpiThread> thread_;
  mpi::Group group_;  // MPI_Finalize frees it
};

}  // namespace

std::string mpi_library_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  return {text, static_cast<size_t>(length)};
}

MpiWorld::MpiWorld(const CommunicatorSetup& setup, int64_t piece_bytes)
    : thread_(std::make_shared<MpiThread>(std::chrono::steady_clock::now() + setup.timeout)) {
  mpi::Group all;
  mpi::Group apart;
  run_there(thread_, setup.timeout, "the meeting of all ranks", [&] {
    all = group_of(MPI_COMM_WORLD, piece_bytes);
    MPI_Comm copy = MPI_COMM_NULL;
    mpi::check(MPI_Comm_dup(MPI_COMM_WORLD, &copy), "MPI_Comm_dup");
    apart = group_of(copy, piece_bytes);
    char name[MPI_MAX_PROCESSOR_NAME];
    int length = 0;
    MPI_Get_processor_name(name, &length);
    host_.assign(name, static_cast<size_t>(length));
  });
  local_ranks_ = all.local_ranks;
  local_rank_ = all.local_rank;
  ranks_ = std::make_unique<MpiCommunicator>(thread_, all, setup);
  last_words_ = std::make_unique<MpiCommunicator>(thread_, apart,
                                                  CommunicatorSetup{.timeout = kLastWordsTimeout});
}

MpiWorld::~MpiWorld() = default;

void MpiWorld::abort(int status) {
  thread_->abort(status);
}

}  // namespace reformer
