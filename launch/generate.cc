// `reformer generate`: continues texts with a trained model.
#include "trainer/generation/generate.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "kernels/core/errors.h"
#include "launch/commands.h"
#include "launch/device.h"
#include "launch/exit_codes.h"
#include "trainer/config/config.h"
#include "trainer/data/mapped_file.h"
#include "trainer/memory_plan.h"
#include "trainer/model/parameters.h"
#include "trainer/model/rotations.h"
#include "trainer/saved_state.h"

namespace reformer {
namespace {

struct Arguments {
  std::string run_directory;
  std::vector<std::string> prompts;
  std::vector<std::string> prompt_files;
  int64_t samples = 1;
  GenerationOptions generation;
  bool tokens_given = false;  // otherwise max_tokens is as many as fit, at most
  bool echo = false;
  bool json = false;
  std::vector<std::string> overrides;
};

/// Standard output is for the texts alone.
void say(const std::string& text) {
  fmt::print(stderr, "{}\n", text);
}

std::vector<std::string> prompts_of(const Arguments& arguments) {
  std::vector<std::string> prompts = arguments.prompts;
  for (const std::string& path : arguments.prompt_files) {
    const MappedFile file(path);
    prompts.emplace_back(file.bytes().begin(), file.bytes().end());
  }
  if (prompts.empty()) {
    if (isatty(STDIN_FILENO) == 1) {
      throw ConfigError(
          "no text to continue: give --prompt TEXT, --prompt-file FILE, or a text on standard "
          "input");
    }
    prompts.emplace_back(std::istreambuf_iterator<char>(std::cin),
                         std::istreambuf_iterator<char>());
  }
  return prompts;
}

std::vector<int32_t> encode(const std::string& text, const std::string& name,
                            const Tokenizer& tokenizer) {
  try {
    return tokenizer.encode(text);
  } catch (const DataError& error) {
    throw DataError(fmt::format("{}: {}", name, error.what()));
  }
}

/// The prompts as tokens, each as often as there are samples of it. Lowers max_tokens to what the
/// model can hold, unless it was asked for.
std::vector<std::vector<int32_t>> encode(const std::vector<std::string>& prompts,
                                         const Tokenizer& tokenizer, const ModelSpec& spec,
                                         Arguments& arguments) {
  int64_t& max_tokens = arguments.generation.max_tokens;
  std::vector<std::vector<int32_t>> encoded;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const std::vector<int32_t> tokens =
        encode(prompts[i], fmt::format("prompt {}", i + 1), tokenizer);
    const auto count = static_cast<int64_t>(tokens.size());
    if (count == 0) throw DataError(fmt::format("prompt {}: is empty", i + 1));
    // The last token is sampled and never read.
    const int64_t room = spec.max_length - count + 1;
    if (room < 1) {
      throw DataError(fmt::format("prompt {}: has {} tokens, legal: at most {} for this model",
                                  i + 1, count, spec.max_length));
    }
    if (max_tokens > room && arguments.tokens_given) {
      throw ConfigError(fmt::format(
          "--tokens {}: with the {} tokens of prompt {} more than the {} that the model can hold, "
          "legal: at most {}",
          max_tokens, count, i + 1, spec.max_length, room));
    }
    if (max_tokens > room) {
      say(fmt::format("note: prompt {} leaves room for {} more, so no text gets more", i + 1,
                      room));
      max_tokens = room;
    }
    encoded.insert(encoded.end(), static_cast<size_t>(arguments.samples), tokens);
  }
  return encoded;
}

/// What is shown of continuation `index`.
class Printer {
 public:
  Printer(const Arguments& arguments, const std::vector<std::string>& prompts)
      : arguments_(arguments), prompts_(prompts), streams_(!arguments.json && count() == 1) {}

  /// A single text is shown as it grows.
  void add(std::string_view text) {
    if (!streams_) return;
    if (!started_ && arguments_.echo) write(prompts_.front());
    started_ = true;
    write(text);
    std::fflush(stdout);
  }

  void finish(const std::vector<Continuation>& continuations) {
    if (streams_) {
      if (!started_) add("");
      write("\n");
    }
    for (size_t i = 0; i < continuations.size() && !streams_; ++i) {
      const size_t prompt = i / static_cast<size_t>(arguments_.samples);
      const size_t sample = i % static_cast<size_t>(arguments_.samples);
      const std::string text =
          (arguments_.echo ? prompts_[prompt] : std::string()) + continuations[i].text;
      if (arguments_.json) {
        const nlohmann::ordered_json object = {{"prompt", prompt + 1},
                                               {"sample", sample + 1},
                                               {"text", text},
                                               {"tokens", continuations[i].tokens},
                                               {"stopped", continuations[i].stopped}};
        // Bytes that are no UTF-8 become U+FFFD; the tokens tell them exactly.
        write(object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
      } else {
        write(fmt::format("== prompt {}, sample {}\n{}\n", prompt + 1, sample + 1, text));
      }
    }
    if (std::fflush(stdout) != 0) throw DataError("standard output: cannot be written");
  }

 private:
  size_t count() const { return prompts_.size() * static_cast<size_t>(arguments_.samples); }
  static void write(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

  const Arguments& arguments_;
  const std::vector<std::string>& prompts_;
  const bool streams_;
  bool started_ = false;
};

int run(Arguments arguments) {
  const CheckpointReader checkpoint = require_newest(arguments.run_directory, say);
  RunConfig config =
      parse_config(checkpoint.manifest().config(), checkpoint.path(), arguments.overrides);
  if (!can_decode(config.model)) {
    throw ConfigError(
        "the model is bidirectional (model.lsh.bidirectional): it predicts no next token, so it "
        "cannot continue a text");
  }
  const std::unique_ptr<Tokenizer> tokenizer = tokenizer_of(checkpoint);
  const std::vector<std::string> texts = prompts_of(arguments);
  const std::vector<std::vector<int32_t>> prompts =
      encode(texts, *tokenizer, config.model, arguments);

  size_t longest = 0;
  for (const std::vector<int32_t>& prompt : prompts) longest = std::max(longest, prompt.size());
  const auto sequences = static_cast<int64_t>(prompts.size());
  const auto prompt_tokens = static_cast<int64_t>(longest);
  const int64_t capacity = prompt_tokens + arguments.generation.max_tokens - 1;
  const std::unique_ptr<Backend> backend =
      make_backend(config, static_cast<int>(config.run.execution().threads()));
  const MemoryPlan plan =
      plan_generation(config.model, sequences, prompt_tokens, capacity, backend.get());
  const std::string complaint = complaint_about_decoding_memory(plan, backend.get());
  if (!complaint.empty()) throw DeviceError(complaint);
  const std::unique_ptr<Arena> arena = take(plan, *backend);
  const View parameters =
      arena->allocate(DType::kFloat32, {flat_elements(config.model)}, MemoryUse::kParameters);
  load_parameters(checkpoint, config.model, *backend, parameters);
  const std::vector<Tensor> rotations =
      make_rotations(config.model, config.run.evaluation().seed(), 0);
  Decoder decoder({.backend = *backend,
                   .arena = *arena,
                   .spec = config.model,
                   .parameters = parameters,
                   .rotations = rotations,
                   .sequences = sequences,
                   .capacity = capacity});

  Printer printer(arguments, texts);
  const auto start = std::chrono::steady_clock::now();
  const std::vector<Continuation> continuations =
      generate(decoder, *tokenizer, prompts, arguments.generation,
               [&](size_t, std::string_view text) { printer.add(text); });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  printer.finish(continuations);

  size_t tokens = 0;
  for (const Continuation& continuation : continuations) tokens += continuation.tokens.size();
  say(fmt::format("{}, {}: {} tokens in {:.2f} s, {:.0f} tokens/s", checkpoint.path(),
                  tokenizer->description(), tokens, seconds.count(),
                  static_cast<double>(tokens) / seconds.count()));
  if (decoder.faults() > 0) {
    throw DivergenceError(fmt::format(
        "{} values left the range of the residual streams: the text above is not what the model "
        "would have written",
        decoder.faults()));
  }
  return kExitOk;
}

/// Like CLI::Range, which NaN would pass.
CLI::Validator finite_range(double least, double most) {
  return CLI::Validator(
      [least, most](const std::string& text) -> std::string {
        double value = 0;
        if (CLI::detail::lexical_cast(text, value) && least <= value && value <= most) return "";
        return fmt::format("{} is not in {} to {}", text, least, most);
      },
      fmt::format("{} to {}", least, most), "");
}

void add_sampling_options(CLI::App& app, SamplingOptions& sampling) {
  app.add_option("--temperature", sampling.temperature,
                 "Divides the logits; 0: always the most likely token")
      ->check(finite_range(0, 1e6))
      ->capture_default_str();
  app.add_option("--top-k", sampling.top_k, "Only the k most likely tokens; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--top-p", sampling.top_p,
                 "Only the most likely tokens that together have this probability")
      ->check(finite_range(1e-9, 1))
      ->capture_default_str();
  app.add_option("--repetition-penalty", sampling.repetition_penalty,
                 "Divides positive logits of recent tokens and multiplies negative ones; 1: none")
      ->check(finite_range(1, 1e6))
      ->capture_default_str();
  app.add_option("--repetition-window", sampling.repetition_window,
                 "How many tokens are recent, the prompt's included")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--seed", sampling.seed, "Equal seeds give equal texts")->capture_default_str();
}

}  // namespace

Command add_generate_command(CLI::App& program) {
  CLI::App* const app = program.add_subcommand(
      "generate",
      "Continue texts with the newest checkpoint of a run. The texts go to standard output, all "
      "else to standard error.");
  const auto arguments = std::make_shared<Arguments>();
  app->add_option("run-dir", arguments->run_directory, "Run directory, such as runs/demo")
      ->required();
  app->add_option("--prompt", arguments->prompts, "Text to continue; may be repeated")
      ->allow_extra_args(false);
  app->add_option("--prompt-file", arguments->prompt_files,
                  "File with a text to continue; may be repeated. Without any prompt, standard "
                  "input is read")
      ->allow_extra_args(false);
  app->add_option("--samples", arguments->samples, "Continuations of each prompt")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  CLI::Option* const tokens =
      app->add_option("--tokens", arguments->generation.max_tokens,
                      "Most tokens of a continuation (default: 256, or what the model can hold)")
          ->check(CLI::PositiveNumber);
  app->add_option("--stop", arguments->generation.stop,
                  "Text at which a continuation ends, itself left out; may be repeated")
      ->allow_extra_args(false);
  add_sampling_options(*app, arguments->generation.sampling);
  app->add_flag("--echo", arguments->echo, "Show the prompt before its continuation");
  app->add_flag("--json", arguments->json, "One JSON object for each continuation, on a line");
  app->add_option("--set", arguments->overrides,
                  "Set a field, such as --set execution.threads=1; may be repeated")
      ->allow_extra_args(false);
  return {.app = app, .run = [arguments, tokens] {
            arguments->tokens_given = tokens->count() > 0;
            return run(*arguments);
          }};
}

}  // namespace reformer
