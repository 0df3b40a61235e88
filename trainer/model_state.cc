#include "trainer/model_state.h"

#include "kernels/core/wide_sum.h"
#include "trainer/model/parameters.h"

namespace reformer {
namespace {

/// The embedding, every layer, the head; see Pass::faults.
int64_t fault_rows(const ModelSpec& spec) {
  return static_cast<int64_t>(spec.layers.size()) + 2;
}

// Where the tallies begin.
constexpr int64_t kSquares = 2;
constexpr int64_t kFaults = kSquares + WideSum::kWords;

}  // namespace

ModelState::ModelState(const ModelSpec& model_spec, Backend& on_backend, Arena& in_arena)
    : spec(model_spec),
      backend(on_backend),
      arena(in_arena),
      parameters(arena.allocate(DType::kFloat32, {flat_elements(spec)}, MemoryUse::kParameters)),
      tallies(arena.allocate(DType::kInt64, {kFaults + fault_rows(spec) * kFaultKinds},
                             MemoryUse::kGradients)),
      loss(tallies.rows(0, 1)),
      correct(tallies.rows(1, 2)),
      squares(tallies.rows(kSquares, kFaults)),
      faults(tallies.rows(kFaults, tallies.elements()).reshape({fault_rows(spec), kFaultKinds})),
      model(spec, parameters) {}

void ModelState::initialize_parameters(uint64_t seed) const {
  backend.fill_zero(parameters);
  uint32_t index = 0;
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    const Tensor values = initial_values(parameter, index++, seed);
    backend.upload(values.view().raw(), parameter.in(parameters));
  }
}

View ModelState::upload_tokens(const Tensor& tokens) const {
  const View view = arena.allocate(DType::kInt32, {tokens.elements()}, MemoryUse::kBlock);
  backend.upload(tokens.view().raw(), view);
  return view;
}

TokenLayout ModelState::layout_of(int64_t first_sample, int64_t samples,
                                  const DataRange& positions) const {
  return {.samples = samples,
          .length = positions.size(),
          .first_sample = first_sample,
          .first_position = positions.begin,
          .tile = spec.tile_tokens,
          .leaf = spec.leaf_tokens};
}

std::vector<NamedView> ModelState::parameter_views() const {
  std::vector<NamedView> views;
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    views.push_back({parameter.name, parameter.in(parameters)});
  }
  return views;
}

}  // namespace reformer
