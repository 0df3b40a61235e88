// The `reformer` program: parses the command line, runs one subcommand, and turns exceptions into
// one line on stderr and an exit code.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iterator>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "kernels/core/check.h"
#include "launch/commands.h"
#include "launch/exit_codes.h"

namespace reformer {
namespace {

int run(int argc, char** argv) {
  CLI::App program("Trains, evaluates and samples Reformer language models of long sequences.",
                   "reformer");
  program.require_subcommand(1);
  program.set_help_all_flag("--help-all", "Help of all subcommands");
  program.footer(
      "Exit codes: 0 done, 1 internal error, 2 command line or configuration, 3 data,\n"
      "4 checkpoint, 5 device or memory, 6 communication, 7 diverged, 8 stopped by a signal\n"
      "after saving.");
  const Command commands[] = {
      add_train_command(program),  add_eval_command(program),   add_generate_command(program),
      add_import_command(program), add_export_command(program), add_tokenize_command(program),
      add_plot_command(program),   add_plan_command(program),   add_inspect_command(program),
      add_check_command(program),  add_doctor_command(program)};
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? kExitOk : kExitUsage;
  }
  const auto chosen = std::find_if(std::begin(commands), std::end(commands),
                                   [](const Command& command) { return command.app->parsed(); });
  CHECK(chosen != std::end(commands));
  return chosen->run();
}

}  // namespace
}  // namespace reformer

int main(int argc, char** argv) {
  try {
    return reformer::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "reformer: error: {}\n", reformer::message_of(error));
    return reformer::exit_code_of(error);
  }
}
