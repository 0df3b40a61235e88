// `reformer import`: weights of other programs as the beginning of a run.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "kernels/cpu/cpu_backend.h"
#include "launch/commands.h"
#include "launch/exit_codes.h"
#include "trainer/config/config.h"
#include "trainer/data/tokenizer.h"
#include "trainer/model/parameters.h"
#include "trainer/run_output.h"
#include "trainer/saved_state.h"
#include "trainer/weights/hugging_face.h"
#include "trainer/weights/hugging_face_config.h"
#include "trainer/weights/torch_file.h"

namespace reformer {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::string format;
  std::string folder;
  std::string run_directory;
  std::vector<std::string> overrides;
};

std::string read_text(const std::string& path) {
  const MappedFile file(path);
  return {file.bytes().begin(), file.bytes().end()};
}

/// The library prefers safetensors where there are both.
std::unique_ptr<TensorFile> open_weights(const std::string& folder) {
  const std::string safetensors = folder + "/model.safetensors";
  const std::string torch = folder + "/pytorch_model.bin";
  if (fs::exists(safetensors)) return std::make_unique<SafetensorsFile>(safetensors);
  if (fs::exists(torch)) return std::make_unique<TorchFile>(torch);
  for (const std::string& index : {safetensors + ".index.json", torch + ".index.json"}) {
    if (!fs::exists(index)) continue;
    throw DataError(
        fmt::format("{}: weights in several files are not read; save_pretrained with a large "
                    "max_shard_size writes one",
                    index));
  }
  throw DataError(fmt::format("{}: has neither model.safetensors nor pytorch_model.bin", folder));
}

void require_new_run(const RunDirectory& directory) {
  if (list_checkpoints(directory.checkpoints()).empty()) return;
  throw CheckpointError(
      fmt::format("{}: has checkpoints already; import into another directory, or move them away",
                  directory.checkpoints()));
}

RunConfig make_config(const HuggingFaceModel& read, const Arguments& arguments) {
  config::Run run;
  *run.mutable_model() = read.model;
  run.mutable_data()->set_length(read.model.max_length());
  // Named without a folder: a relative data.path begins where the program was started.
  return parse_config(to_text(run), "the imported configuration", arguments.overrides);
}

int run(const Arguments& arguments) {
  const RunDirectory directory{arguments.run_directory};
  require_new_run(directory);
  const std::string config_path = arguments.folder + "/config.json";
  const HuggingFaceModel read = read_hugging_face_config(read_text(config_path), config_path);
  const RunConfig config = make_config(read, arguments);
  const std::unique_ptr<TensorFile> file = open_weights(arguments.folder);
  const std::vector<std::string> unused = list_unused(*file, config.model);
  const Tensor parameters = read_hugging_face(*file, config.model);

  const std::string tokenizer_model = tokenizer_model_of(config.run);
  const std::string identity = make_cpu_backend(1)->numeric_identity();

  RunOutput output(directory, /*rank=*/0, /*ranks=*/1);
  require_new_run(directory);  // nobody else writes there from here on
  // The configuration comes last: without its checkpoint it would train a new model.
  const std::string saved = save_beginning(
      {.directory = directory.checkpoints(), .config = config, .tokenizer_model = tokenizer_model},
      parameters.view(), identity);
  output.begin(/*last_step=*/0, to_text(config.run));
  output.say(fmt::format("{} parameters from {}", parameter_count(config.model), file->path()));
  for (const std::string& note : read.notes) {
    output.say(fmt::format("note: {}: {}", config_path, note));
  }
  for (const std::string& name : unused) {
    output.say(fmt::format("note: {}: {} is of no use here", file->path(), name));
  }
  const config::Run& run = config.run;
  if (run.data().source() == config::Data::BYTES && run.data().byte_offset() == 0 &&
      run.model().vocabulary() > 256) {
    output.say(
        fmt::format("note: of the model's {} tokens, 0 … 255 are the bytes here; --set "
                    "data.byte_offset=2 if they begin at 2, as in google/reformer-enwik8",
                    run.model().vocabulary()));
  }
  output.say(fmt::format("saved {}", saved));
  output.say(fmt::format("reformer train {} goes on from there", directory.config()));
  return kExitOk;
}

}  // namespace

Command add_import_command(CLI::App& program) {
  CLI::App* const app =
      program.add_subcommand("import", "Begin a run with the weights of another program.");
  const auto arguments = std::make_shared<Arguments>();
  app->add_option("--from", arguments->format,
                  "hf: Reformer of transformers, config.json with model.safetensors or "
                  "pytorch_model.bin")
      ->required()
      ->check(CLI::IsMember({"hf"}));
  app->add_option("folder", arguments->folder, "Where the weights are")->required();
  app->add_option("run-dir", arguments->run_directory, "Run directory to be begun")->required();
  app->add_option("--set", arguments->overrides,
                  "Set a field, such as --set data.path=FILE, which is needed; may be repeated")
      ->allow_extra_args(false);
  return {.app = app, .run = [arguments] { return run(*arguments); }};
}

}  // namespace reformer
