// What an instruction family sees while it decodes one statement: it takes the modifiers that it
// knows, in any order; those that are left over make the instruction an unknown one.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tests/ptx/interpreter/program.h"

namespace reformer::ptx {

class Decoding {
 public:
  Decoding(const Statement& from, const FunctionSyntax& in, Instruction& to);

  const Statement& statement;
  const FunctionSyntax& function;
  Instruction& instruction;  // operands are there already, but for the bits of decimal fractions

  bool take(std::string_view modifier);
  // Which of these there is; −1 for none.
  int take_any(std::initializer_list<std::string_view> modifiers);
  // The same, where one must be there.
  int take_one(std::initializer_list<std::string_view> modifiers);
  // The first type among the modifiers; kNone where there is none.
  Type take_type();
  // One of these must be there and come first.
  Type take_type(std::initializer_list<Type> allowed);
  Rounding take_rounding();  // rn, rz, rm, rp; kNearest without
  Space take_space();        // kGeneric without
  // mMnNkK.
  bool take_shape(int& m, int& n, int& k);
  void operands(std::size_t least, std::size_t most);  // refuses another number
  Type register_type(std::size_t operand) const;       // declared; kNone for what is no register
  bool all_taken() const;
  [[noreturn]] void refuse() const;  // unknown instruction

 private:
  std::vector<bool> taken_;
};

using Decode = void (*)(Decoding&);
struct Entry {
  void add(Decode function, std::string_view syntax);
  void add_float(Decode function, std::string_view syntax);

  Decode decode = nullptr;
  Decode decode_float = nullptr;  // where a modifier is a float type, if it is not null
  std::string forms;              // for known_instructions()
};
using InstructionTable = std::unordered_map<std::string_view, Entry>;

// By opcode.
const InstructionTable& instruction_table();

// Each family adds its opcodes.
void add_integer_instructions(InstructionTable& table);
void add_logic_instructions(InstructionTable& table);
void add_bit_instructions(InstructionTable& table);
void add_float_instructions(InstructionTable& table);
void add_comparison_instructions(InstructionTable& table);
void add_move_instructions(InstructionTable& table);
void add_conversion_instructions(InstructionTable& table);
void add_memory_instructions(InstructionTable& table);
void add_atomic_instructions(InstructionTable& table);
void add_async_copy_instructions(InstructionTable& table);
void add_collective_instructions(InstructionTable& table);
void add_matrix_instructions(InstructionTable& table);
void add_matrix_memory_instructions(InstructionTable& table);
void add_fragment_matrix_instructions(InstructionTable& table);
void add_control_instructions(InstructionTable& table);

}  // namespace reformer::ptx
