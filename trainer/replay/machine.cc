#include "trainer/replay/machine.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>
#include <google/protobuf/text_format.h>

#include "kernels/core/check.h"
#include "trainer/config/source.h"
#include "trainer/config/text_file.h"
#include "trainer/config/text_parser.h"

namespace reformer {
namespace {

using replay::Machine;

constexpr const char* kLegalFile = "a file like configs/machines/h100.txtpb";

/// Refuses numbers that no machine has.
class NumberCheck {
 public:
  explicit NumberCheck(const std::string& file) : file_(file) {}

  void positive(const std::string& field, double value) const {
    if (!(value > 0) || std::isinf(value)) fail(field, value, "numbers above 0");
  }
  void not_negative(const std::string& field, double value) const {
    if (!(value >= 0) || std::isinf(value)) fail(field, value, "numbers from 0");
  }
  void rate(const std::string& field, const replay::Rate& rate) const {
    not_negative(field + ".flops_per_second", rate.flops_per_second());
    not_negative(field + ".bytes_per_second", rate.bytes_per_second());
  }
  void link(const std::string& field, const replay::Link& link) const {
    not_negative(field + ".latency_seconds", link.latency_seconds());
    positive(field + ".bytes_per_second", link.bytes_per_second());
  }

 private:
  [[noreturn]] void fail(const std::string& field, double value, const std::string& legal) const {
    throw_config_error(file_ + ": " + field, fmt::format("{} is out of range", value), legal);
  }

  const std::string& file_;
};

void check_numbers(const Machine& machine, const std::string& file) {
  const NumberCheck check(file);
  check.not_negative("memory_bytes", static_cast<double>(machine.memory_bytes()));
  check.positive("rate.flops_per_second", machine.rate().flops_per_second());
  check.positive("rate.bytes_per_second", machine.rate().bytes_per_second());
  for (int i = 0; i < machine.op_rates_size(); ++i) {
    check.rate(fmt::format("op_rates[{}].rate", i), machine.op_rates(i).rate());
  }
  check.not_negative("op_seconds", machine.op_seconds());
  check.not_negative("step_seconds", machine.step_seconds());
  check.not_negative("operation_seconds", machine.operation_seconds());
  check.positive("ranks_per_node", static_cast<double>(machine.ranks_per_node()));
  if (machine.ranks_per_node() > 1) check.link("within_node", machine.within_node());
  if (machine.has_between_nodes()) check.link("between_nodes", machine.between_nodes());
}

const replay::Rate& rate_of(const Machine& machine, std::string_view op) {
  for (const replay::OpRate& named : machine.op_rates()) {
    if (named.op() == op) return named.rate();
  }
  return machine.rate();
}

double seconds_for(double amount, double per_second) {
  return per_second > 0 ? amount / per_second : 0;
}

}  // namespace

Machine load_machine(const std::string& path) {
  return parse_machine(read_text_file(path, kLegalFile), path);
}

Machine parse_machine(const std::string& text, const std::string& name) {
  Machine machine;
  if (const std::optional<TextFault> fault = parse_text(text, machine, nullptr)) {
    fail_at(name, *fault);
  }
  check_numbers(machine, name);
  return machine;
}

std::string to_text(const Machine& machine) {
  std::string text;
  CHECK(google::protobuf::TextFormat::PrintToString(machine, &text));
  return text;
}

double seconds_of_op(const Machine& machine, std::string_view op, const OpCost& cost) {
  const replay::Rate& rate = rate_of(machine, op);
  return machine.op_seconds() + std::max(seconds_for(cost.flops, rate.flops_per_second()),
                                         seconds_for(cost.bytes, rate.bytes_per_second()));
}

}  // namespace reformer
