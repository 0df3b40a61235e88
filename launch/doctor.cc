// `reformer doctor`: whether this machine is fit for training, and what to do where it is not.
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "launch/commands.h"
#include "launch/doctor/disk.h"
#include "launch/doctor/launcher.h"
#include "launch/doctor/memory.h"
#include "launch/doctor/processor.h"
#include "launch/doctor/software.h"
#include "launch/exit_codes.h"

namespace reformer {
namespace {

struct Arguments {
  std::string run_directory = "runs";
  bool as_rank = false;
};

int run(const Arguments& arguments) {
  if (arguments.as_rank) return doctor::meet_other_rank();
  std::vector<doctor::Finding> findings;
  const auto add = [&](std::vector<doctor::Finding> more) {
    findings.insert(findings.end(), std::make_move_iterator(more.begin()),
                    std::make_move_iterator(more.end()));
  };
  // The load is looked at before anything here adds to it.
  add(judge(doctor::look_at_processor()));
  add(judge(doctor::look_at_memory()));
  add(judge(doctor::look_at_software()));
  add(judge(doctor::look_at_disk(arguments.run_directory)));
  add(judge(doctor::look_at_launcher()));
  fmt::print("{}", doctor::format(findings));
  return doctor::has_problem(findings) ? kExitDevice : kExitOk;
}

}  // namespace

Command add_doctor_command(CLI::App& program) {
  CLI::App* const app = program.add_subcommand(
      "doctor", "Look whether this machine is fit for training. Exits with 5 at a problem.");
  const auto arguments = std::make_shared<Arguments>();
  app->add_option("--run-dir", arguments->run_directory,
                  "Where runs will be written (default: runs)");
  app->add_flag("--as-rank", arguments->as_rank, "Be one of the two ranks that doctor starts")
      ->group("");  // not shown
  return {.app = app, .run = [arguments] { return run(*arguments); }};
}

}  // namespace reformer
