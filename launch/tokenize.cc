// `reformer tokenize`: text files into tokens, once, for data.source TOKENS.
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "kernels/core/cores.h"
#include "launch/commands.h"
#include "launch/exit_codes.h"
#include "launch/signals.h"
#include "trainer/data/mapped_file.h"
#include "trainer/data/sentencepiece_tokenizer.h"
#include "trainer/data/token_shard_writer.h"
#include "trainer/data/tokenize_file.h"

namespace reformer {
namespace {

struct Arguments {
  std::string model;
  std::vector<std::string> files;  // inputs, then the output
  int64_t shard_tokens = int64_t{1} << 28;
};

int run(const Arguments& arguments) {
  const std::vector<std::string> inputs(arguments.files.begin(), arguments.files.end() - 1);
  const std::string& output = arguments.files.back();
  const TokenizeOptions options{.threads = static_cast<int>(usable_cores().size()),
                                .stop = &catch_stop_signals()};
  const auto say = [](const std::string& text) { fmt::print("{}\n", text); };
  const MappedFile file(arguments.model);
  const std::string model(file.bytes().begin(), file.bytes().end());
  const SentencePieceTokenizer tokenizer(model, arguments.model);
  TokenShardWriter writer({.folder = output,
                           .tokenizer_model = model,
                           .vocabulary = tokenizer.vocabulary(),
                           .shard_tokens = arguments.shard_tokens});
  if (!tokenizer.keeps_line_breaks()) {
    say("note: the model has no piece for line breaks: they become spaces");
  }
  TokenizeTotals totals;
  for (const std::string& input : inputs) {
    const TokenizeTotals before = totals;
    if (!tokenize_file(input, tokenizer, options, writer, totals)) {
      say("stopped by a signal; nothing is left behind");
      return kExitStopped;
    }
    say(fmt::format("{}: {} bytes, {} tokens", input, totals.bytes - before.bytes,
                    totals.tokens - before.tokens));
  }
  writer.commit();
  say(fmt::format("wrote {}: {} tokens for model.vocabulary {}, {:.2f} bytes a token", output,
                  totals.tokens, tokenizer.vocabulary(),
                  static_cast<double>(totals.bytes) / static_cast<double>(totals.tokens)));
  if (totals.unknown > 0) {
    say(fmt::format(
        "note: {} tokens, {:.3f}%, stand for text that the model does not know", totals.unknown,
        100.0 * static_cast<double>(totals.unknown) / static_cast<double>(totals.tokens)));
  }
  return kExitOk;
}

}  // namespace

Command add_tokenize_command(CLI::App& program) {
  CLI::App* const app =
      program.add_subcommand("tokenize", "Turn text files into tokens, for data.source TOKENS.");
  const auto arguments = std::make_shared<Arguments>();
  app->add_option("--model", arguments->model, "Model of sentencepiece, as spm_train writes it")
      ->required();
  app->add_option("files", arguments->files,
                  "Text files, in their order, and then the folder to make, for data.path")
      ->required()
      ->expected(2, std::numeric_limits<int>::max())
      ->option_text("TEXT... FOLDER");
  app->add_option("--shard-tokens", arguments->shard_tokens,
                  "Most tokens of one file (default: 268435456)")
      ->check(CLI::PositiveNumber);
  return {.app = app, .run = [arguments] { return run(*arguments); }};
}

}  // namespace reformer
