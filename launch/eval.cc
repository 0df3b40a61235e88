// `reformer eval`: how well a trained model predicts held-out text.
#include <algorithm>
#include <charconv>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "kernels/core/errors.h"
#include "launch/commands.h"
#include "launch/device.h"
#include "launch/exit_codes.h"
#include "launch/gnuplot.h"
#include "launch/job.h"
#include "trainer/agreement.h"
#include "trainer/config/config.h"
#include "trainer/data/text_dataset.h"
#include "trainer/derive_mesh.h"
#include "trainer/evaluation/evaluate_decoded.h"
#include "trainer/evaluation/lsh_health.h"
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
  if (!has_hashed_layer(model)) {
    throw ConfigError(fmt::format("{}: the model has no LSH layer", option));
  }
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

TextDataset dataset_of(const Arguments& arguments, const RunConfig& config,
                       const CheckpointReader& checkpoint) {
  if (!arguments.file.empty()) {
    return make_text_dataset(config.run, arguments.file, *tokenizer_of(checkpoint));
  }
  TextDataset text;
  text.dataset = make_dataset(config.run);
  return text;
}

/// What cannot be evaluated on this mesh of ranks.
void require_fitting_ranks(const Arguments& arguments, const std::vector<int64_t>& rounds,
                           const Mesh& mesh, const RunConfig& config) {
  if (arguments.decoded && mesh.size() > 1) {
    throw ConfigError(
        fmt::format("--decoded: goes token by token, legal: one rank instead of {}", mesh.size()));
  }
  if (arguments.lsh_queries > 0 && !LshHealth::can_observe(mesh)) {
    throw ConfigError(
        fmt::format("--lsh-queries: {}, legal: --set parallel.heads={} or fewer ranks",
                    LshHealth::kNotObserved, mesh.sequence_size));
  }
  const int64_t heads = config.run.model().heads();
  const bool all_keys = std::find(rounds.begin(), rounds.end(), kAllKeys) != rounds.end();
  if (all_keys && mesh.sequence_size > heads) {
    throw ConfigError(
        fmt::format("--rounds full: {} ranks share each sequence, legal: at most model.heads = {} "
                    "(parallel.sequence)",
                    mesh.sequence_size, heads));
  }
}

using Say = std::function<void(const std::string&)>;

/// What is evaluated, and on what.
struct Subject {
  CheckpointReader checkpoint;
  RunConfig config;
  TextDataset text;
};

Subject load_subject(const Arguments& arguments, const std::vector<int64_t>& rounds,
                     const Say& say) {
  CheckpointReader checkpoint = require_newest(arguments.run_directory, say);
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
  TextDataset text = dataset_of(arguments, config, checkpoint);
  return {
      .checkpoint = std::move(checkpoint), .config = std::move(config), .text = std::move(text)};
}

/// Every rank has loaded for itself. Collective.
void require_agreement(const Subject& subject, Communicator& ranks) {
  config::Run run = subject.config.run;
  run.mutable_execution()->set_threads(0);  // a rank's own business
  const std::string other =
      find_disagreement(ranks, "evaluation",
                        fmt::format("{}\n{}\n{}", subject.checkpoint.path(),
                                    subject.text.dataset->description(), to_text(run)));
  if (!other.empty()) throw ConfigError(other);
}

void draw(const Arguments& arguments, const std::vector<SweepPoint>& points, const char* token) {
  draw_picture(arguments.plot, [&](const std::string& path) {
    return sweep_plot(
        points, token,
        {.title = arguments.run_directory, .path = path, .format = picture_format(arguments.plot)});
  });
}

void evaluate_model(const Arguments& arguments, const Subject& subject, const RankGroups& ranks,
                    ModelState& state, const Say& say) {
  const config::Run& run = subject.config.run;
  LshHealth health(state.spec, arguments.lsh_queries, run.evaluation().seed());
  EvaluationOptions options;
  if (arguments.lsh_queries > 0) options.health = &health;
  const Dataset& dataset = *subject.text.dataset;
  const EvaluationResult result = arguments.decoded ? evaluate_decoded(run, dataset, state)
                                                    : evaluate(run, dataset, ranks, state, options);
  say(describe(result, token_name(run.data())));
  if (result.faults > 0) throw DivergenceError("the numbers above are of no use");
  if (subject.text.predicted_bytes > 0 && run.data().source() == config::Data::TOKENS) {
    const double nats = result.loss * static_cast<double>(result.tokens);
    say(fmt::format("{:.4f} bits/byte over {} bytes",
                    bits_from_nats(nats / static_cast<double>(subject.text.predicted_bytes)),
                    subject.text.predicted_bytes));
  }
  if (arguments.lsh_queries > 0) say(describe(health.result(ranks.world)));
}

int run_rank(const Arguments& arguments, const RankPlace& place) {
  const Say say = [&](const std::string& text) {
    if (place.communicator.rank() == 0) fmt::print("{}\n", text);
  };
  std::vector<int64_t> rounds;
  for (const std::string& text : arguments.rounds) rounds.push_back(parse_rounds(text));
  if (!arguments.plot.empty()) {  // before any work
    picture_format(arguments.plot);
    require_gnuplot();
  }
  Subject subject = load_subject(arguments, rounds, say);
  RunConfig& config = subject.config;
  const Dataset& dataset = *subject.text.dataset;
  require_agreement(subject, place.communicator);

  const RankDevice device = make_rank_device(config, place);
  Backend& backend = *device.backend;
  Communicator& world = device.ranks;
  const Mesh mesh = derive_mesh(config, backend, world.rank(), world.size());
  require_fitting_ranks(arguments, rounds, mesh, config);
  const MemoryPlan plan = plan_evaluation(
      config, {.rounds = rounds, .decoded = arguments.decoded, .mesh = mesh}, &backend);
  const std::string complaint =
      first_complaint(world, complaint_about_memory(plan, place.local_ranks, &backend), "memory");
  if (!complaint.empty()) throw DeviceError(complaint);
  const RankGroups ranks = split_by_mesh(world, mesh);
  const std::unique_ptr<Arena> arena = take(plan, backend);
  ModelState state(config.model, backend, *arena);
  load_parameters(subject.checkpoint, state.spec, backend, state.parameters);

  say(fmt::format("{}, {}", subject.checkpoint.path(), dataset.description()));
  if (world.size() > 1) {
    say(describe(mesh, config.run.data().length(), config.model.leaf_tokens));
  }
  if (rounds.empty()) {
    evaluate_model(arguments, subject, ranks, state, say);
    return kExitOk;
  }
  const char* const token = token_name(config.run.data());
  const std::vector<SweepPoint> points =
      sweep_rounds(config.run, dataset, ranks, state, rounds, arguments.seeds);
  say(describe(points, token));
  if (!arguments.plot.empty() && world.rank() == 0) {
    draw(arguments, points, token);
    say(fmt::format("wrote {}", arguments.plot));
  }
  return kExitOk;
}

int run(const Arguments& arguments) {
  return run_as_rank([&](const RankPlace& place) { return run_rank(arguments, place); });
}

}  // namespace

Command add_eval_command(CLI::App& program) {
  CLI::App* const app = program.add_subcommand(
      "eval",
      "Evaluate the newest checkpoint of a run on held-out data. Under mpirun "
      "its ranks share the work.");
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
