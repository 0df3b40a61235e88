// The memory that the ranks of one communicator share. It belongs to no file: whatever way the
// processes end, nothing of it stays.
#pragma once

#include <memory>
#include <optional>

#include "tests/ptx/nccl/channel.h"

namespace reformer::ptx::nccl {

/// Where a process finds memory that another one made. Plain bytes, part of the unique id.
struct SegmentName {
  int32_t pid = 0;
  int32_t fd = 0;
  uint64_t nonce = 0;  // the first bytes of the memory, so that a recycled pid is noticed
};

/// Memory that other processes of this user can open while this object lives.
class SegmentFile {
 public:
  /// nullopt: the system gives no memory.
  static std::optional<SegmentFile> create();
  SegmentFile(SegmentFile&& other) noexcept;
  SegmentFile& operator=(SegmentFile&& other) noexcept;
  ~SegmentFile();

  const SegmentName& name() const { return name_; }

 private:
  explicit SegmentFile(const SegmentName& name) : name_(name) {}

  SegmentName name_;  // fd is -1 when moved away
};

/// The memory of `size` ranks, mapped.
class Segment {
 public:
  static constexpr int kMaxRanks = 64;

  /// nullptr when it is not, or no longer, there.
  static std::unique_ptr<Segment> open(const SegmentName& name, int size);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  /// This rank has come, with this device. Call once.
  void join(int rank, int device);
  /// True once all ranks have come.
  bool is_complete() const;
  /// REQUIRES: is_complete().
  int device_of(int rank) const { return head_->devices[rank]; }

  Channel& channel(int from, int to) const { return channels_[from * size_ + to]; }

 private:
  struct Head {
    uint64_t nonce;
    std::atomic<int32_t> joined;
    int32_t devices[kMaxRanks];
  };

  Segment(void* memory, int size);
  static size_t bytes(int size);

  Head* head_;
  Channel* channels_;
  int size_;
};

}  // namespace reformer::ptx::nccl
