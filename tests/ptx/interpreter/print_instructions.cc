// Prints the list of instructions in README.md.
#include <iostream>

#include "tests/ptx/interpreter/interpreter.h"

int main() {
  for (const auto& known : reformer::ptx::known_instructions()) {
    std::cout << "* `" << known.opcode << "` " << known.forms << '\n';
  }
}
