#include "tests/ptx/nccl/split.h"

#include <algorithm>
#include <utility>

namespace reformer::ptx::nccl {
namespace {

void* host_memory(const void* memory, size_t, int) {
  return const_cast<void*>(memory);
}

}  // namespace

SplitTalk::SplitTalk(const Place& place, int color, int key)
    : rank_(place.rank),
      file_(SegmentFile::create()),
      own_(std::make_unique<Entry>(Entry{.color = color, .key = key})),
      all_(std::make_unique<std::vector<Entry>>(static_cast<size_t>(place.size))) {
  if (file_) own_->segment = file_->name();
  const Call call{.kind = CallKind::kSplit,
                  .send = own_.get(),
                  .receive = all_->data(),
                  .count = sizeof(Entry)};
  exchange_ = std::make_unique<Exchange>(place, std::vector<Call>{call}, host_memory);
}

Exchange::State SplitTalk::advance() {
  return exchange_->advance();
}

std::optional<NewGroup> SplitTalk::group() const {
  if (own_->color < 0) return std::nullopt;
  std::vector<std::pair<int, int>> members;  // key, rank
  for (size_t rank = 0; rank < all_->size(); ++rank) {
    const Entry& entry = (*all_)[rank];
    if (entry.color == own_->color) members.emplace_back(entry.key, static_cast<int>(rank));
  }
  std::sort(members.begin(), members.end());
  const auto me = std::find(members.begin(), members.end(), std::pair(own_->key, rank_));
  return NewGroup{.segment = (*all_)[static_cast<size_t>(members[0].second)].segment,
                  .rank = static_cast<int>(me - members.begin()),
                  .size = static_cast<int>(members.size())};
}

}  // namespace reformer::ptx::nccl
