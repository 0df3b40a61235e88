// Writes the log of a step while the step runs, in earnest or as a plan.
#pragma once

#include <memory>

#include "comm/rank_groups.h"
#include "kernels/backend.h"
#include "trainer/replay/step_log.h"

namespace reformer {

/// Bytes that `operation` moves in a group of `size` ranks, seen from rank `rank`.
OperationBytes bytes_of(const Operation& operation, int rank, int size);

class StepRecorder final : public OperationObserver {
 public:
  /// A backend that runs the ops of `backend`, which must outlive it, and logs them. Where ops have
  /// not finished when they return, each is waited for.
  std::unique_ptr<Backend> record(Backend& backend);

  /// The place of each group among the ranks. `groups` must outlive the recording; operations of
  /// other groups are taken to be among all ranks.
  void follow(const RankGroups& groups) { groups_ = &groups; }

  /// Of everything since the last call.
  StepLog take_log();

  void started(const Communicator& group, const Operation& operation, uint64_t id) override;
  void waited(uint64_t id) override;

 private:
  GroupShape shape_of(const Communicator& group) const;

  const RankGroups* groups_ = nullptr;
  StepLog log_;
};

}  // namespace reformer
