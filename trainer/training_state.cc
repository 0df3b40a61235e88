#include "trainer/training_state.h"

#include "trainer/model/parameters.h"

namespace reformer {

TrainingState::TrainingState(const config::Run& run, const ModelSpec& model_spec,
                             Backend& on_backend, Arena& in_arena)
    : spec(model_spec),
      backend(on_backend),
      arena(in_arena),
      parameters(arena.allocate(DType::kFloat32, {flat_elements(spec)}, MemoryUse::kParameters)),
      gradients(arena.allocate(spec.exact_sums ? DType::kInt64 : DType::kFloat32,
                               {flat_elements(spec)}, MemoryUse::kGradients)),
      loss(arena.allocate(DType::kInt64, {1}, MemoryUse::kGradients)),
      correct(arena.allocate(DType::kInt64, {1}, MemoryUse::kGradients)),
      faults(arena.allocate(DType::kInt64,
                            {static_cast<int64_t>(spec.layers.size()) + 2, kFaultKinds},
                            MemoryUse::kGradients)),
      norm_blocks(arena.allocate(DType::kFloat64,
                                 {(gradients.elements() + kNormBlock - 1) / kNormBlock},
                                 MemoryUse::kGradients)),
      model(spec, parameters),
      optimizer(make_optimizer(run.optimizer(), spec, backend, arena)) {}

void TrainingState::initialize_parameters(uint64_t seed) const {
  backend.fill_zero(parameters);
  uint32_t index = 0;
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    const Tensor values = initial_values(parameter, index++, seed);
    backend.upload(values.view().raw(), parameter.in(parameters));
  }
}

View TrainingState::upload_tokens(const Tensor& tokens) const {
  const View view = arena.allocate(DType::kInt32, {tokens.elements()}, MemoryUse::kBlock);
  backend.upload(tokens.view().raw(), view);
  return view;
}

TokenLayout TrainingState::layout_of(int64_t first_sample, int64_t samples, int64_t length) const {
  return {.samples = samples,
          .length = length,
          .first_sample = first_sample,
          .first_position = 0,
          .tile = spec.tile_tokens,
          .leaf = spec.leaf_tokens};
}

std::vector<NamedView> TrainingState::tensors() const {
  std::vector<NamedView> tensors;
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    tensors.push_back({parameter.name, parameter.in(parameters)});
  }
  for (NamedView& state : optimizer->state()) tensors.push_back(std::move(state));
  return tensors;
}

}  // namespace reformer
