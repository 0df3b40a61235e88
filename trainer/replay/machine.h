// Machines, and how long an op takes on one.
#pragma once

#include <string>
#include <string_view>

#include "kernels/op_cost.h"
#include "trainer/replay/machine.pb.h"

namespace reformer {

/// Reads a file like those of configs/machines. Throws ConfigError in one line that names the file,
/// the field, and what is legal.
replay::Machine load_machine(const std::string& path);

/// The same for text that is at hand; `name` stands for the file in messages.
replay::Machine parse_machine(const std::string& text, const std::string& name);

/// Text that parse_machine turns into the same machine.
std::string to_text(const replay::Machine& machine);

/// Seconds from the beginning of an op to that of the next one.
double seconds_of_op(const replay::Machine& machine, std::string_view op, const OpCost& cost);

}  // namespace reformer
