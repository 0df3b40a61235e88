// A training state in checkpoints.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "comm/communicator.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/config/config.h"
#include "trainer/data/tokenizer.h"
#include "trainer/skip_guard.h"
#include "trainer/training_state.h"

namespace reformer {

/// What a checkpoint has besides the state.
struct CheckpointArgs {
  const std::string& directory;  // exists; checkpoint.keep of its checkpoints are kept
  const RunConfig& config;
  const std::string& tokenizer_model;  // tokenizer_model_of: the checkpoint alone knows text
  int64_t step = 0;
};

/// Saves everything that the next step depends on. Rank 0 writes; nothing tells how many ranks
/// there were. Collective. Returns the checkpoint's path, on rank 0.
std::string save_state(const CheckpointArgs& args, const TrainingState& state,
                       const SkipGuard& guard, Communicator& communicator);

/// Saves a model that begins with these parameters, and an optimizer that has seen nothing, on the
/// only rank. `parameters` is the flat buffer of list_parameters on the host, `numeric_identity`
/// that of the backend that will go on. Returns the checkpoint's path.
std::string save_beginning(const CheckpointArgs& args, const View& parameters,
                           const std::string& numeric_identity);

/// The newest checkpoint in `directory` that is sound; each one that is not is passed to `say` in a
/// line. None if the directory has no checkpoint at all. Throws CheckpointError if all are damaged,
/// or if one comes first that a newer program wrote.
std::optional<CheckpointReader> open_newest(const std::string& directory,
                                            const std::function<void(const std::string&)>& say);

/// The same of the run in `run_directory`. Throws CheckpointError if it has none.
CheckpointReader require_newest(const std::string& run_directory,
                                const std::function<void(const std::string&)>& say);

/// Restores what save_state saved, on any number of ranks, and returns the step. Rank 0 reads
/// `checkpoint`, which is null elsewhere. Collective. Throws CheckpointError, and then `state` is
/// undefined, if the checkpoint is of another model or optimizer.
int64_t load_state(const CheckpointReader* checkpoint, const RunConfig& config,
                   const TrainingState& state, SkipGuard& guard, Communicator& communicator);

/// Restores the parameters alone, on the only rank. `parameters`: Float32 [flat_elements(spec)].
void load_parameters(const CheckpointReader& checkpoint, const ModelSpec& spec, Backend& backend,
                     const View& parameters);

/// The tokenizer of the data that the model was trained on, whether they are still there or not.
/// Throws ConfigError if they have no text.
std::unique_ptr<Tokenizer> tokenizer_of(const CheckpointReader& checkpoint);

/// Throws CheckpointError, naming both, when the tokens of the data that `run` asks for, with
/// `tokenizer_model` (tokenizer_model_of), mean something else (token_meaning) than those that the
/// model was trained on.
void require_same_tokenizer(const CheckpointReader& checkpoint, const config::Run& run,
                            const std::string& tokenizer_model);

/// CRC32C over all parameters, names included: equal for equal models.
uint32_t parameter_digest(const CheckpointReader& checkpoint);

}  // namespace reformer
