#include "trainer/saved_state.h"

#include <limits>

#include <fmt/format.h>

#include "comm/self.h"
#include "kernels/core/errors.h"
#include "kernels/plan_backend.h"
#include "trainer/agreement.h"
#include "trainer/model/parameters.h"
#include "trainer/run_directory.h"

namespace reformer {
namespace {

constexpr size_t kManifestBytes = size_t{1} << 20;
constexpr size_t kEndlessBytes = std::numeric_limits<size_t>::max() / 2;

/// A tensor of the backend as host memory.
Tensor to_host(Backend& backend, const View& view) {
  Tensor host(view.dtype(), view.shape());
  backend.download(view, host.view().raw());
  return host;
}

/// Rank 0 reads the tensor and every rank gets the whole of it.
void load_everywhere(const CheckpointReader* checkpoint, const NamedView& tensor, Backend& backend,
                     Communicator& communicator) {
  const Tensor host(tensor.view.dtype(), tensor.view.shape());
  if (checkpoint != nullptr) checkpoint->read(tensor.name, host.view());
  communicator.broadcast(host.view(), 0, tensor.name);
  backend.upload(host.view().raw(), tensor.view);
}

/// Rank 0 reads the tensor and every rank gets its part.
void load_part(const CheckpointReader* checkpoint, const ShardedTensor& tensor, Backend& backend,
               Communicator& communicator) {
  Tensor whole;
  if (checkpoint != nullptr) {
    whole = Tensor(DType::kFloat32, tensor.shape);
    checkpoint->read(tensor.name, whole.view());
  }
  scatter(whole.view(), tensor, backend, communicator);
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
  const auto [saved_line, this_line] = first_difference(saved_text, this_text);
  throw CheckpointError(fmt::format(
      "checkpoint {}: is of another model: its configuration has '{}' where this run's has '{}'",
      checkpoint.path(), saved_line, this_line));
}

checkpoint::Manifest make_manifest(const CheckpointArgs& args, const std::string& numeric_identity,
                                   const SkipGuard& guard) {
  checkpoint::Manifest manifest;
  manifest.set_step(args.step);
  manifest.set_config(to_text(args.config.run));
  manifest.set_numeric_identity(numeric_identity);
  if (!args.tokenizer_model.empty()) manifest.set_tokenizer_model(args.tokenizer_model);
  manifest.mutable_skip_guard()->set_mean_norm(guard.state().mean_norm);
  manifest.mutable_skip_guard()->set_accepted(guard.state().accepted);
  manifest.mutable_skip_guard()->set_skipped_in_a_row(guard.state().skipped_in_a_row);
  return manifest;
}

}  // namespace

std::string save_state(const CheckpointArgs& args, const TrainingState& state,
                       const SkipGuard& guard, Communicator& communicator) {
  const std::vector<NamedView> parameters = state.parameter_views();
  const std::vector<ShardedTensor> of_optimizer = state.optimizer->state();
  std::optional<CheckpointWriter> writer;
  if (communicator.rank() == 0) {
    size_t bytes = kManifestBytes + args.tokenizer_model.size();
    for (const NamedView& tensor : parameters) bytes += tensor.view.bytes();
    for (const ShardedTensor& tensor : of_optimizer) bytes += tensor.bytes();
    writer.emplace(args.directory, bytes);
    for (const NamedView& tensor : parameters) {
      writer->add(tensor.name, to_host(state.backend, tensor.view).view());
    }
  }
  for (const ShardedTensor& tensor : of_optimizer) {
    const Tensor whole = gather(tensor, state.backend, communicator);
    if (writer) writer->add(tensor.name, whole.view());
  }
  if (!writer) return "";
  return writer->commit(make_manifest(args, state.backend.numeric_identity(), guard),
                        args.config.run.checkpoint().keep());
}

std::string save_beginning(const CheckpointArgs& args, const View& parameters,
                           const std::string& numeric_identity) {
  const RunConfig& config = args.config;
  const std::unique_ptr<Backend> backend = make_plan_backend();
  const std::unique_ptr<Arena> arena = backend->make_arena(kEndlessBytes);
  // It tells what there is to save; its own tensors are none.
  const TrainingState state(config.run, config.model, *backend, *arena);
  CheckpointWriter writer(args.directory, arena->used());
  for (const ParameterInfo& parameter : list_parameters(config.model)) {
    writer.add(parameter.name, parameter.in(parameters));
  }
  for (const ShardedTensor& tensor : state.optimizer->state()) {
    writer.add(tensor.name, Tensor(DType::kFloat32, tensor.shape).view());
  }
  return writer.commit(make_manifest(args, numeric_identity, SkipGuard(config.run.training())),
                       config.run.checkpoint().keep());
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

CheckpointReader require_newest(const std::string& run_directory,
                                const std::function<void(const std::string&)>& say) {
  const std::string directory = RunDirectory{run_directory}.checkpoints();
  std::optional<CheckpointReader> checkpoint = open_newest(directory, say);
  if (!checkpoint) throw CheckpointError(fmt::format("{}: no checkpoint there", directory));
  return *std::move(checkpoint);
}

int64_t load_state(const CheckpointReader* checkpoint, const RunConfig& config,
                   const TrainingState& state, SkipGuard& guard, Communicator& communicator) {
  CHECK_EQ(checkpoint != nullptr, communicator.rank() == 0);
  const std::vector<NamedView> parameters = state.parameter_views();
  const std::vector<ShardedTensor> of_optimizer = state.optimizer->state();
  int64_t step = 0;
  SkipGuard::State saved_guard;
  if (checkpoint != nullptr) {
    require_same_model(*checkpoint, config);
    std::vector<std::string> names;
    for (const NamedView& tensor : parameters) names.push_back(tensor.name);
    for (const ShardedTensor& tensor : of_optimizer) names.push_back(tensor.name);
    checkpoint->require_exactly(names);
    step = checkpoint->manifest().step();
    const checkpoint::SkipGuard& saved = checkpoint->manifest().skip_guard();
    saved_guard = {.mean_norm = saved.mean_norm(),
                   .accepted = saved.accepted(),
                   .skipped_in_a_row = saved.skipped_in_a_row()};
  }
  communicator.broadcast(View(&step, DType::kInt64, {1}), 0, "step of the checkpoint");
  communicator.broadcast(View(&saved_guard, DType::kUint8, {sizeof(saved_guard)}), 0, "skip guard");
  guard.restore(saved_guard);

  state.backend.fill_zero(state.parameters);  // the gaps between tensors
  for (const NamedView& tensor : parameters) {
    load_everywhere(checkpoint, tensor, state.backend, communicator);
  }
  for (const ShardedTensor& tensor : of_optimizer) {
    load_part(checkpoint, tensor, state.backend, communicator);
  }
  return step;
}

void load_parameters(const CheckpointReader& checkpoint, const ModelSpec& spec, Backend& backend,
                     const View& parameters) {
  SelfCommunicator alone;
  backend.fill_zero(parameters);  // the gaps between tensors
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    load_everywhere(&checkpoint, {parameter.name, parameter.in(parameters)}, backend, alone);
  }
}

std::unique_ptr<Tokenizer> tokenizer_of(const CheckpointReader& checkpoint) {
  const checkpoint::Manifest& manifest = checkpoint.manifest();
  return make_tokenizer(parse_config(manifest.config(), checkpoint.path(), {}).run,
                        manifest.tokenizer_model());
}

void require_same_tokenizer(const CheckpointReader& checkpoint, const config::Run& run,
                            const std::string& tokenizer_model) {
  const checkpoint::Manifest& manifest = checkpoint.manifest();
  const std::string trained_on = token_meaning(
      parse_config(manifest.config(), checkpoint.path(), {}).run, manifest.tokenizer_model());
  const std::string here = token_meaning(run, tokenizer_model);
  if (trained_on == here) return;
  throw CheckpointError(
      fmt::format("checkpoint {}: was trained on tokens of another tokenizer than this run's data: "
                  "{}; here: {}",
                  checkpoint.path(), trained_on, here));
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
