#include "trainer/saved_state.h"

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "trainer/model/parameters.h"

namespace reformer {
namespace {

/// A tensor of the backend as host memory.
Tensor to_host(Backend& backend, const View& view) {
  Tensor host(view.dtype(), view.shape());
  backend.download(view, host.view().raw());
  return host;
}

void load_tensor(const CheckpointReader& checkpoint, const NamedView& tensor, Backend& backend) {
  const Tensor host(tensor.view.dtype(), tensor.view.shape());
  checkpoint.read(tensor.name, host.view());
  backend.upload(host.view().raw(), tensor.view);
}

/// What a model computes must not change under its parameters: rounds, chunks and buckets leave no
/// trace in any shape.
void require_same_model(const CheckpointReader& checkpoint, const RunConfig& config) {
  const RunConfig saved = parse_config(checkpoint.manifest().config(), checkpoint.path(), {});
  config::Run saved_model;
  config::Run this_model;
  *saved_model.mutable_model() = saved.run.model();
  *this_model.mutable_model() = config.run.model();
  const std::string saved_text = to_text(saved_model);
  const std::string this_text = to_text(this_model);
  if (saved_text == this_text) return;
  // The first line that differs names the field.
  size_t begin = 0;
  for (size_t i = 0; i < std::min(saved_text.size(), this_text.size()); ++i) {
    if (saved_text[i] != this_text[i]) break;
    if (saved_text[i] == '\n') begin = i + 1;
  }
  const auto line_at = [begin](const std::string& text) {
    const size_t start = text.find_first_not_of(' ', begin);
    return start == std::string::npos ? "" : text.substr(start, text.find('\n', begin) - start);
  };
  throw CheckpointError(fmt::format(
      "checkpoint {}: is of another model: its configuration has '{}' where this run's has '{}'",
      checkpoint.path(), line_at(saved_text), line_at(this_text)));
}

}  // namespace

std::string save_state(const std::string& directory, const RunConfig& config, int64_t step,
                       const TrainingState& state, const SkipGuard& guard) {
  const std::vector<NamedView> tensors = state.tensors();
  size_t bytes = size_t{1} << 20;  // the manifest
  for (const NamedView& tensor : tensors) bytes += tensor.view.bytes();
  CheckpointWriter writer(directory, bytes);
  for (const NamedView& tensor : tensors) {
    writer.add(tensor.name, to_host(state.backend, tensor.view).view());
  }
  checkpoint::Manifest manifest;
  manifest.set_step(step);
  manifest.set_config(to_text(config.run));
  manifest.set_numeric_identity(state.backend.numeric_identity());
  manifest.mutable_skip_guard()->set_mean_norm(guard.state().mean_norm);
  manifest.mutable_skip_guard()->set_accepted(guard.state().accepted);
  manifest.mutable_skip_guard()->set_skipped_in_a_row(guard.state().skipped_in_a_row);
  return writer.commit(std::move(manifest), config.run.checkpoint().keep());
}

std::optional<CheckpointReader> open_newest(const std::string& directory,
                                            const std::function<void(const std::string&)>& say) {
  const std::vector<std::string> paths = list_checkpoints(directory);
  for (const std::string& path : paths) {
    try {
      return CheckpointReader(path);
    } catch (const NewerCheckpointError&) {
      throw;
    } catch (const CheckpointError& error) {
      say(fmt::format("passed over: {}", error.what()));
    }
  }
  if (paths.empty()) return std::nullopt;
  throw CheckpointError(
      fmt::format("checkpoint: none of the {} in {} is sound; move them away to "
                  "start anew",
                  paths.size(), directory));
}

int64_t load_state(const CheckpointReader& checkpoint, const RunConfig& config,
                   const TrainingState& state, SkipGuard& guard) {
  require_same_model(checkpoint, config);
  const std::vector<NamedView> tensors = state.tensors();
  std::vector<std::string> names;
  for (const NamedView& tensor : tensors) names.push_back(tensor.name);
  checkpoint.require_exactly(names);
  state.backend.fill_zero(state.parameters);  // the gaps between tensors
  for (const NamedView& tensor : tensors) load_tensor(checkpoint, tensor, state.backend);
  const checkpoint::SkipGuard& saved = checkpoint.manifest().skip_guard();
  guard.restore({.mean_norm = saved.mean_norm(),
                 .accepted = saved.accepted(),
                 .skipped_in_a_row = saved.skipped_in_a_row()});
  return checkpoint.manifest().step();
}

void load_parameters(const CheckpointReader& checkpoint, const TrainingState& state) {
  state.backend.fill_zero(state.parameters);
  for (const ParameterInfo& parameter : list_parameters(state.spec)) {
    load_tensor(checkpoint, {parameter.name, parameter.in(state.parameters)}, state.backend);
  }
}

uint32_t parameter_digest(const CheckpointReader& checkpoint) {
  const RunConfig config = parse_config(checkpoint.manifest().config(), checkpoint.path(), {});
  std::string digests;
  for (const ParameterInfo& parameter : list_parameters(config.model)) {
    const Tensor values(DType::kFloat32, parameter.shape);
    checkpoint.read(parameter.name, values.view());
    digests += fmt::format("{}={:08x};", parameter.name,
                           crc32c(values.view().raw(), values.view().bytes()));
  }
  return crc32c(digests.data(), digests.size());
}

}  // namespace reformer
