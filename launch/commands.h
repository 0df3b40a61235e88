// The subcommands of `reformer`, one source file each.
#pragma once

#include <functional>

#include <CLI/CLI.hpp>

namespace reformer {

struct Command {
  CLI::App* app;             // owned by the program
  std::function<int()> run;  // after parsing; returns an ExitCode, faults leave it as exceptions
};

Command add_train_command(CLI::App& program);     // train.cc
Command add_eval_command(CLI::App& program);      // eval.cc
Command add_generate_command(CLI::App& program);  // generate.cc
Command add_import_command(CLI::App& program);    // import.cc
Command add_export_command(CLI::App& program);    // export.cc
Command add_tokenize_command(CLI::App& program);  // tokenize.cc
Command add_plan_command(CLI::App& program);      // plan.cc
Command add_plot_command(CLI::App& program);      // plot.cc
Command add_inspect_command(CLI::App& program);   // inspect.cc
Command add_check_command(CLI::App& program);     // check.cc
Command add_doctor_command(CLI::App& program);    // doctor.cc

}  // namespace reformer
