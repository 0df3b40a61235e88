// How ranks of a communicator form groups: each tells all others its color and key, and where the
// memory of a new group would be; each group takes the memory of its first rank.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/ptx/nccl/exchange.h"

namespace reformer::ptx::nccl {

struct NewGroup {
  SegmentName segment{};
  int rank = 0;
  int size = 1;
};

class SplitTalk {
 public:
  SplitTalk(const Place& place, int color, int key);

  Exchange::State advance();
  std::string error() const { return exchange_->error(); }

  /// After kComplete: the group of this rank, unless its color is negative. This object must live
  /// until all ranks of the group have opened its memory.
  std::optional<NewGroup> group() const;

 private:
  struct Entry {
    int32_t color = 0;
    int32_t key = 0;
    SegmentName segment{};
  };

  int rank_;
  std::optional<SegmentFile> file_;
  // The exchange keeps addresses of these.
  std::unique_ptr<Entry> own_;
  std::unique_ptr<std::vector<Entry>> all_;  // by rank
  std::unique_ptr<Exchange> exchange_;
};

}  // namespace reformer::ptx::nccl
