#include "trainer/sharded_tensor.h"

#include <algorithm>
#include <cstring>

namespace reformer {
namespace {

const Slice& part_of(const ShardedTensor& tensor, int rank) {
  return tensor.parts[static_cast<size_t>(rank)];
}

}  // namespace

std::vector<Slice> parts_within(const Slice& tensor, const std::vector<Slice>& slices) {
  std::vector<Slice> parts;
  for (const Slice& slice : slices) {
    const int64_t begin = std::clamp(slice.begin, tensor.begin, tensor.end);
    const int64_t end = std::clamp(slice.end, begin, tensor.end);
    parts.push_back({begin - tensor.begin, end - tensor.begin});
  }
  return parts;
}

Tensor gather(const ShardedTensor& tensor, Backend& backend, Communicator& communicator) {
  const Slice& own = part_of(tensor, communicator.rank());
  if (communicator.rank() != 0) {
    if (own.elements() == 0) return {};
    const Tensor part(DType::kFloat32, {own.elements()});
    backend.download(tensor.part, part.view().raw());
    communicator.send(part.view(), 0, tensor.name);
    return {};
  }
  Tensor whole(DType::kFloat32, tensor.shape);
  std::vector<Pending> pending;
  for (int rank = 1; rank < communicator.size(); ++rank) {
    const Slice& part = part_of(tensor, rank);
    if (part.elements() == 0) continue;
    pending.push_back(communicator.start_receive(part.of(whole.view()), rank, tensor.name));
  }
  if (own.elements() > 0) backend.download(tensor.part, own.of(whole.view()).raw());
  for (Pending& receive : pending) receive.wait();
  return whole;
}

void scatter(const View& whole, const ShardedTensor& tensor, Backend& backend,
             Communicator& communicator) {
  const Slice& own = part_of(tensor, communicator.rank());
  if (communicator.rank() != 0) {
    if (own.elements() == 0) return;
    const Tensor part(DType::kFloat32, {own.elements()});
    communicator.receive(part.view(), 0, tensor.name);
    backend.upload(part.view().raw(), tensor.part);
    return;
  }
  std::vector<Pending> pending;
  for (int rank = 1; rank < communicator.size(); ++rank) {
    const Slice& part = part_of(tensor, rank);
    if (part.elements() == 0) continue;
    pending.push_back(communicator.start_send(part.of(whole), rank, tensor.name));
  }
  if (own.elements() > 0) backend.upload(own.of(whole).raw(), tensor.part);
  for (Pending& send : pending) send.wait();
}

}  // namespace reformer
