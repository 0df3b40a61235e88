// `reformer export`: the weights of a trained model for other programs.
#include <filesystem>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "launch/commands.h"
#include "launch/exit_codes.h"
#include "launch/output_file.h"
#include "trainer/config/config.h"
#include "trainer/model/parameters.h"
#include "trainer/saved_state.h"
#include "trainer/weights/hugging_face.h"

namespace reformer {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::string run_directory;
  std::string output;
  std::string format = "hf";
};

void say(const std::string& text) {
  fmt::print("{}\n", text);
}

/// config.json and model.safetensors in a folder, as the library's from_pretrained reads them.
void export_hugging_face(const ModelSpec& spec, const CheckpointReader& checkpoint,
                         const std::string& folder) {
  const std::string config = hugging_face_config(spec);
  const Tensor flat(DType::kFloat32, {flat_elements(spec)});
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    checkpoint.read(parameter.name, parameter.in(flat.view()));
  }
  std::error_code error;
  fs::create_directories(folder, error);
  write_safetensors(folder + "/model.safetensors", to_hugging_face(spec, flat.view()));
  write_file(folder + "/config.json", config);
  say(fmt::format("wrote {0}/config.json and {0}/model.safetensors", folder));
}

/// One file, under the names and shapes that `reformer inspect` lists.
void export_safetensors(const ModelSpec& spec, const CheckpointReader& checkpoint,
                        const std::string& path) {
  std::vector<StoredTensor> tensors;
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    tensors.push_back({parameter.name, Tensor(DType::kFloat32, parameter.shape)});
    checkpoint.read(parameter.name, tensors.back().values.view());
  }
  write_safetensors(path, tensors);
  say(fmt::format("wrote {}", path));
}

int run(const Arguments& arguments) {
  const CheckpointReader checkpoint = require_newest(arguments.run_directory, say);
  const RunConfig config = parse_config(checkpoint.manifest().config(), checkpoint.path(), {});
  if (arguments.format == "hf") {
    export_hugging_face(config.model, checkpoint, arguments.output);
  } else {
    export_safetensors(config.model, checkpoint, arguments.output);
  }
  return kExitOk;
}

}  // namespace

Command add_export_command(CLI::App& program) {
  CLI::App* const app = program.add_subcommand(
      "export", "Write the weights of a run's newest checkpoint for other programs.");
  const auto arguments = std::make_shared<Arguments>();
  app->add_option("run-dir", arguments->run_directory, "Run directory, such as runs/demo")
      ->required();
  app->add_option("output", arguments->output, "hf: a folder; safetensors: a file")->required();
  app->add_option("--format", arguments->format,
                  "hf: config.json and model.safetensors for transformers (default); safetensors: "
                  "one file under our own names")
      ->check(CLI::IsMember({"hf", "safetensors"}));
  return {.app = app, .run = [arguments] { return run(*arguments); }};
}

}  // namespace reformer
