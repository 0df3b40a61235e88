// Tensors of which every rank holds a part.
#pragma once

#include <string>
#include <vector>

#include "comm/communicator.h"
#include "kernels/backend.h"

namespace reformer {

struct ShardedTensor {
  std::string name;          // in checkpoints
  Shape shape;               // of the whole
  std::vector<Slice> parts;  // elements of the whole by rank: disjoint, together all
  View part;                 // Float32 [elements of this rank's part] on the backend

  size_t bytes() const { return static_cast<size_t>(shape.elements()) * size_of(DType::kFloat32); }
};

/// The elements of [begin, end) of a flat buffer that each rank's slice holds, counted from
/// `begin`.
std::vector<Slice> parts_within(const Slice& tensor, const std::vector<Slice>& slices);

/// The whole tensor in host memory on rank 0; an empty one elsewhere. Collective.
Tensor gather(const ShardedTensor& tensor, Backend& backend, Communicator& communicator);

/// The opposite: fills every rank's part from the `whole` of rank 0. Collective.
void scatter(const View& whole, const ShardedTensor& tensor, Backend& backend,
             Communicator& communicator);

}  // namespace reformer
