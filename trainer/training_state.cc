#include "trainer/training_state.h"

#include "trainer/gradient_buckets.h"
#include "trainer/model/parameters.h"

namespace reformer {

TrainingState::TrainingState(const config::Run& run, const ModelSpec& model_spec,
                             Backend& on_backend, Arena& in_arena, int own_rank, int ranks)
    : ModelState(model_spec, on_backend, in_arena),
      rank(own_rank),
      buckets(make_buckets(spec, run.optimizer().kind(), ranks)),
      gradients(arena.allocate(spec.exact_sums ? DType::kInt64 : DType::kFloat32,
                               {flat_elements(spec)}, MemoryUse::kGradients)),
      optimizer(
          make_optimizer(run.optimizer(), spec,
                         {.buckets = buckets, .rank = rank, .backend = backend, .arena = arena})) {
  static_assert(kSliceAlignment % kNormBlock == 0);
}

std::vector<Slice> TrainingState::own_slices() const {
  std::vector<Slice> slices;
  for (const Bucket& bucket : buckets) slices.push_back(bucket.slices[static_cast<size_t>(rank)]);
  return slices;
}

}  // namespace reformer
