// Machines from files: what is read, what is refused, and how long ops take.
#include "trainer/replay/machine.h"

#include <gtest/gtest.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

constexpr const char* kMachine = R"(
name: "two numbers"
rate { flops_per_second: 100 bytes_per_second: 10 }
op_rates { op: "slow" rate { flops_per_second: 50 } }
op_seconds: 0.5
)";

/// The message with which kMachine and then `text` is refused, or "accepted".
std::string error_after_machine(const std::string& text) {
  try {
    parse_machine(kMachine + text, "m.txtpb");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(MachineTest, AnOpTakesTheLongerOfArithmeticAndTraffic) {
  const replay::Machine machine = parse_machine(kMachine, "m.txtpb");
  EXPECT_EQ(seconds_of_op(machine, "linear", {.flops = 200, .bytes = 10}), 0.5 + 2);
  EXPECT_EQ(seconds_of_op(machine, "linear", {.flops = 200, .bytes = 30}), 0.5 + 3);
  EXPECT_EQ(seconds_of_op(machine, "linear", {}), 0.5);
}

TEST(MachineTest, AnOpMayHaveARateOfItsOwn) {
  const replay::Machine machine = parse_machine(kMachine, "m.txtpb");
  EXPECT_EQ(seconds_of_op(machine, "slow", {.flops = 200, .bytes = 1000}), 0.5 + 4)
      << "without a rate of bytes they take no time";
}

TEST(MachineTest, ItsTextGivesTheSameMachine) {
  const replay::Machine machine = parse_machine(kMachine, "m.txtpb");
  EXPECT_EQ(to_text(parse_machine(to_text(machine), "again")), to_text(machine));
}

TEST(MachineTest, MistakesAreNamedWithTheirPlace) {
  EXPECT_EQ(error_after_machine("op_second: 1"),
            "m.txtpb:6: op_second: unknown field (did you mean op_seconds?), legal: name, "
            "activations, memory_bytes, rate, op_rates, op_seconds, step_seconds, ranks_per_node, "
            "within_node, between_nodes, collectives, operation_seconds");
  EXPECT_EQ(error_after_machine("collectives: STARS"),
            "m.txtpb:6: collectives: bad value STARS, legal: RINGS, PAIRS");
}

TEST(MachineTest, NumbersThatNoMachineHasAreRefused) {
  EXPECT_EQ(error_after_machine(""), "accepted");
  EXPECT_EQ(error_after_machine("step_seconds: -1"),
            "m.txtpb: step_seconds: -1 is out of range, legal: numbers from 0");
  EXPECT_EQ(error_after_machine("operation_seconds: nan"),
            "m.txtpb: operation_seconds: nan is out of range, legal: numbers from 0");
  EXPECT_EQ(error_after_machine("ranks_per_node: 8"),
            "m.txtpb: within_node.bytes_per_second: 0 is out of range, legal: numbers above 0");
  EXPECT_EQ(error_after_machine("between_nodes { bytes_per_second: inf }"),
            "m.txtpb: between_nodes.bytes_per_second: inf is out of range, legal: numbers above 0");
  EXPECT_EQ(
      error_after_machine("op_rates { op: \"x\" rate { flops_per_second: -2 } }"),
      "m.txtpb: op_rates[1].rate.flops_per_second: -2 is out of range, legal: numbers from 0");
}

TEST(MachineTest, AMachineHasRates) {
  EXPECT_THROW(parse_machine("name: \"none\"", "m.txtpb"), ConfigError);
}

TEST(MachineTest, ThoseOfTheRepositoryAreSound) {
  const replay::Machine machine = load_machine("configs/machines/h100.txtpb");
  EXPECT_EQ(machine.ranks_per_node(), 8);
  EXPECT_TRUE(machine.has_between_nodes());
}

TEST(MachineTest, AFileThatIsNotThereIsNamed) {
  try {
    load_machine("configs/machines/abacus.txtpb");
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "configs/machines/abacus.txtpb: no such file, legal: a file like "
                 "configs/machines/h100.txtpb");
  }
}

}  // namespace
}  // namespace reformer
