// `reformer eval`: how well a trained model predicts held-out text.
#include <charconv>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "comm/self.h"
#include "kernels/core/errors.h"
#include "launch/commands.h"
#include "launch/device.h"
#include "launch/exit_codes.h"
#include "launch/gnuplot.h"
#include "trainer/config/config.h"
#include "trainer/data/text_dataset.h"
#include "trainer/evaluation/evaluate_decoded.h"
#include "trainer/evaluation/round_sweep.h"
#include "trainer/memory_plan.h"
#include "trainer/metrics.h"
#include "trainer/model/decoder.h"
#include "trainer/plot/sweep_plot.h"
#include "trainer/saved_state.h"

namespace reformer {
namespace {

struct Arguments {
  std::string run_directory;
  std::string file;
  std::vector<std::string> rounds;
  int64_t seeds = 3;
  std::string plot;
  int64_t lsh_queries = 0;
  bool decoded = false;
  std::vector<std::string> overrides;
};

constexpr int64_t kMostRounds = 64;  // as model.lsh.rounds

void say(const std::string& text) {
  fmt::print("{}\n", text);
}

/// "1" … "64", or "full".
int64_t parse_rounds(const std::string& text) {
  if (text == "full") return kAllKeys;
  int64_t rounds = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, rounds);
  if (error == std::errc() && rest == end && rounds >= 1 && rounds <= kMostRounds) return rounds;
  throw ConfigError(fmt::format("--rounds {}: legal: 1 to {}, or full", text, kMostRounds));
}

void require_hashed_layer(const ModelSpec& model, const char* option) {
  for (const LayerSpec& layer : model.layers) {
    if (is_hashed(layer.attention.kind)) return;
  }
  throw ConfigError(fmt::format("{}: the model has no LSH layer", option));
}

/// A text is evaluated as a whole.
void require_whole_text(const Arguments& arguments, RunConfig& config) {
  for (const std::string& setting : arguments.overrides) {
    if (!setting.starts_with("evaluation.sequences")) continue;
    throw ConfigError(
        fmt::format("--set {}: has no effect with --file, legal: leave it out", setting));
  }
  config.run.mutable_evaluation()->set_sequences(0);
}

int run(const Arguments& arguments) {
  std::vector<int64_t> rounds;
  for (const std::string& text : arguments.rounds) rounds.push_back(parse_rounds(text));
  if (!arguments.plot.empty()) {  // before any work
    picture_format(arguments.plot);
    require_gnuplot();
  }
  const CheckpointReader checkpoint = require_newest(arguments.run_directory, say);
  RunConfig config =
      parse_config(checkpoint.manifest().config(), checkpoint.path(), arguments.overrides);
  if (!arguments.file.empty()) require_whole_text(arguments, config);
  if (!rounds.empty()) require_hashed_layer(config.model, "--rounds");
  if (arguments.lsh_queries > 0) require_hashed_layer(config.model, "--lsh-queries");
  if (arguments.decoded && !can_decode(config.model)) {
    throw ConfigError("--decoded: the model is bidirectional (model.lsh.bidirectional)");
  }
  // A text of its own needs none of the run's data, which may be gone.
  require_same_tokenizer(checkpoint, config.run,
                         arguments.file.empty() ? tokenizer_model_of(config.run)
                                                : checkpoint.manifest().tokenizer_model());
  TextDataset text;
  if (arguments.file.empty()) {
    text.dataset = make_dataset(config.run);
  } else {
    text = make_text_dataset(config.run, arguments.file, *tokenizer_of(checkpoint));
  }
  const Dataset& dataset = *text.dataset;
  const std::unique_ptr<Backend> backend =
      make_backend(config, static_cast<int>(config.run.execution().threads()));
  const MemoryPlan plan = plan_evaluation(config, rounds, arguments.decoded, backend.get());
  const std::string complaint = complaint_about_memory(plan, 1, backend.get());
  if (!complaint.empty()) throw DeviceError(complaint);
  const std::unique_ptr<Arena> arena = take(plan, *backend);
  ModelState state(config.model, *backend, *arena);
  load_parameters(checkpoint, state.spec, *backend, state.parameters);
  SelfCommunicator alone;
  say(fmt::format("{}, {}", checkpoint.path(), dataset.description()));
  const char* const token = token_name(config.run.data());
  if (!rounds.empty()) {
    const std::vector<SweepPoint> points =
        sweep_rounds(config.run, dataset, alone, state, rounds, arguments.seeds);
    say(describe(points, token));
    if (arguments.plot.empty()) return kExitOk;
    draw_picture(arguments.plot, [&](const std::string& path) {
      return sweep_plot(points, token,
                        {.title = arguments.run_directory,
                         .path = path,
                         .format = picture_format(arguments.plot)});
    });
    say(fmt::format("wrote {}", arguments.plot));
    return kExitOk;
  }
  LshHealth health(config.model, arguments.lsh_queries, config.run.evaluation().seed());
  EvaluationOptions options;
  if (arguments.lsh_queries > 0) options.health = &health;
  const EvaluationResult result = arguments.decoded
                                      ? evaluate_decoded(config.run, dataset, state)
                                      : evaluate(config.run, dataset, alone, state, options);
  say(describe(result, token));
  if (result.faults > 0) throw DivergenceError("the numbers above are of no use");
  if (text.predicted_bytes > 0 && config.run.data().source() == config::Data::TOKENS) {
    const double nats = result.loss * static_cast<double>(result.tokens);
    say(fmt::format("{:.4f} bits/byte over {} bytes",
                    bits_from_nats(nats / static_cast<double>(text.predicted_bytes)),
                    text.predicted_bytes));
  }
  if (arguments.lsh_queries > 0) say(describe(health.result(alone)));
  return kExitOk;
}

}  // namespace

Command add_eval_command(CLI::App& program) {
  CLI::App* const app =
      program.add_subcommand("eval", "Evaluate the newest checkpoint of a run on held-out data.");
  const auto arguments = std::make_shared<Arguments>();
  app->add_option("run-dir", arguments->run_directory, "Run directory, such as runs/demo")
      ->required();
  app->add_option("--file", arguments->file,
                  "Evaluate on the whole of this text instead of the run's own held-out part");
  CLI::Option* const rounds =
      app->add_option("--rounds", arguments->rounds,
                      "Evaluate with each of these numbers of hash rounds in place of the model's "
                      "own, such as 1,2,4,8,full")
          ->delimiter(',')
          ->allow_extra_args(false);
  app->add_option("--seeds", arguments->seeds, "With --rounds: how many sets of rotations")
      ->check(CLI::Range(int64_t{1}, int64_t{1000}))
      ->needs(rounds)
      ->capture_default_str();
  app->add_option("--plot", arguments->plot,
                  "With --rounds: draw the table too, as NAME.svg or NAME.png; needs gnuplot")
      ->needs(rounds);
  app->add_flag("--decoded", arguments->decoded,
                "Predict token by token, as `generate` does: the loss without what CHUNKED layers "
                "give away of later tokens. Slow")
      ->excludes(rounds);
  app->add_option("--lsh-queries", arguments->lsh_queries,
                  "Compare this many queries of each sequence with attention to all keys, and show "
                  "how well the hash of each layer and head works")
      ->check(CLI::Range(int64_t{1}, int64_t{4096}))
      ->excludes(rounds)
      ->excludes("--decoded");
  app->add_option("--set", arguments->overrides,
                  "Set a field, such as evaluation.sequences=0 for all held-out data, or "
                  "evaluation.stride=64 for sequences that overlap; may be repeated")
      ->allow_extra_args(false);
  return {.app = app, .run = [arguments] { return run(*arguments); }};
}

}  // namespace reformer
