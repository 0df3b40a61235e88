#include "tests/ptx/interpreter/decoding.h"

#include <algorithm>
#include <charconv>

namespace reformer::ptx {

Decoding::Decoding(const Statement& from, const FunctionSyntax& in, Instruction& to)
    : statement(from), function(in), instruction(to), taken_(from.modifiers.size(), false) {}

bool Decoding::take(std::string_view modifier) {
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    if (!taken_[i] && statement.modifiers[i] == modifier) {
      taken_[i] = true;
      return true;
    }
  }
  return false;
}

int Decoding::take_any(std::initializer_list<std::string_view> modifiers) {
  int index = 0;
  for (const std::string_view modifier : modifiers) {
    if (take(modifier)) return index;
    ++index;
  }
  return -1;
}

int Decoding::take_one(std::initializer_list<std::string_view> modifiers) {
  const int index = take_any(modifiers);
  if (index < 0) refuse();
  return index;
}

Type Decoding::take_type() {
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    if (taken_[i]) continue;
    if (const auto type = type_named(statement.modifiers[i])) {
      taken_[i] = true;
      return *type;
    }
  }
  return Type::kNone;
}

Type Decoding::take_type(std::initializer_list<Type> allowed) {
  const Type type = take_type();
  if (std::find(allowed.begin(), allowed.end(), type) == allowed.end()) refuse();
  return type;
}

Rounding Decoding::take_rounding() {
  const int index = take_any({"rn", "rz", "rm", "rp"});
  return index < 0 ? Rounding::kNearest : static_cast<Rounding>(index);
}

Space Decoding::take_space() {
  switch (take_any({"global", "const", "shared", "shared::cta", "local", "param", "param::entry",
                    "param::func"})) {
    case 0:
      return Space::kGlobal;
    case 1:
      return Space::kConstant;
    case 2:
    case 3:
      return Space::kShared;
    case 4:
      return Space::kLocal;
    case 5:
    case 6:
    case 7:
      return Space::kParameter;
    default:
      return Space::kGeneric;
  }
}

namespace {

// Reads `letter` and a number.
bool read_extent(std::string_view& text, char letter, int& extent) {
  if (text.empty() || text[0] != letter) return false;
  const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), extent);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

}  // namespace

bool Decoding::take_shape(int& m, int& n, int& k) {
  for (std::size_t i = 0; i < taken_.size(); ++i) {
    std::string_view text = statement.modifiers[i];
    if (!taken_[i] && read_extent(text, 'm', m) && read_extent(text, 'n', n) &&
        read_extent(text, 'k', k) && text.empty()) {
      taken_[i] = true;
      return true;
    }
  }
  return false;
}

void Decoding::operands(std::size_t least, std::size_t most) {
  const std::size_t count = statement.operands.size();
  if (count < least || count > most) refuse();
}

Type Decoding::register_type(std::size_t operand) const {
  if (operand >= statement.operands.size()) return Type::kNone;
  const SyntaxOperand* syntax = &statement.operands[operand];
  if (syntax->kind == SyntaxOperand::Kind::kVector && !syntax->elements.empty()) {
    syntax = &syntax->elements[0];
  }
  if (syntax->kind != SyntaxOperand::Kind::kRegister) return Type::kNone;
  return function.registers[static_cast<std::size_t>(syntax->index)];
}

bool Decoding::all_taken() const {
  return std::all_of(taken_.begin(), taken_.end(), [](bool taken) { return taken; });
}

void Decoding::refuse() const {
  std::string name(statement.opcode);
  for (const std::string_view modifier : statement.modifiers) name += "." + std::string(modifier);
  throw ParseError("unknown instruction `" + name + "`", statement.line);
}

void Entry::add(Decode function, std::string_view syntax) {
  decode = function;
  forms += std::string(forms.empty() ? "" : "; ") + std::string(syntax);
}

void Entry::add_float(Decode function, std::string_view syntax) {
  decode_float = function;
  forms += std::string(forms.empty() ? "" : "; ") + std::string(syntax);
}

const InstructionTable& instruction_table() {
  static const InstructionTable table = [] {
    InstructionTable all;
    add_integer_instructions(all);
    add_logic_instructions(all);
    add_bit_instructions(all);
    add_float_instructions(all);
    add_comparison_instructions(all);
    add_move_instructions(all);
    add_conversion_instructions(all);
    add_memory_instructions(all);
    add_atomic_instructions(all);
    add_async_copy_instructions(all);
    add_collective_instructions(all);
    add_matrix_instructions(all);
    add_matrix_memory_instructions(all);
    add_fragment_matrix_instructions(all);
    add_control_instructions(all);
    return all;
  }();
  return table;
}

std::vector<KnownInstruction> known_instructions() {
  std::vector<KnownInstruction> known;
  for (const auto& [opcode, entry] : instruction_table()) {
    known.push_back({std::string(opcode), entry.forms});
  }
  std::sort(known.begin(), known.end(),
            [](const auto& a, const auto& b) { return a.opcode < b.opcode; });
  return known;
}

}  // namespace reformer::ptx
