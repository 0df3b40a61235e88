// What PTX text says, before its instructions are decoded. Names are views into the text.
#pragma once

#include <cstddef>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tests/ptx/interpreter/errors.h"
#include "tests/ptx/interpreter/types.h"

namespace reformer::ptx {

// A literal. The bits of 0f… and 0d… and of whole numbers stand as they are; a decimal fraction
// gets its bits from the type of the instruction that uses it.
struct Number {
  u64 bits = 0;
  bool is_decimal = false;
  double decimal = 0;
};
u64 bits_for(const Number& number, Type type);

struct SyntaxOperand {
  enum class Kind { kRegister, kParameter, kLocal, kSymbol, kNumber, kSink, kVector };
  Kind kind = Kind::kSink;
  bool negated = false;   // !p
  bool address = false;   // in brackets
  int index = -1;         // kRegister, kParameter, kLocal: which one of the function
  int second = -1;        // the register after `|`
  std::string_view name;  // kSymbol
  s64 offset = 0;         // name + offset
  Number number;
  std::vector<SyntaxOperand> elements;  // kVector, in braces or parentheses
};

struct Statement {
  int line = 0;
  std::string_view text;  // without the semicolon
  int scope = 0;          // see FunctionSyntax::scopes
  int predicate = -1;     // register
  bool predicate_negated = false;
  std::string_view opcode;                  // "fma"
  std::vector<std::string_view> modifiers;  // {"rn", "f32"}
  std::vector<SyntaxOperand> operands;
};

struct InitialValue {
  Number number;
  std::string_view symbol;  // the address of it, plus `offset`, where it is not empty
  s64 offset = 0;
};

struct VariableSyntax {
  std::string_view name;
  Space space = Space::kGlobal;
  Type type = Type::kB8;
  std::size_t alignment = 1;
  std::size_t bytes = 0;
  std::size_t offset = 0;  // in its function's space: parameters, local, shared
  bool external = false;
  std::vector<InitialValue> values;
  int line = 0;
};

// A place for a variable after those already in a space of `bytes` bytes, which grows.
std::size_t place(std::size_t& bytes, const VariableSyntax& variable);

struct Label {
  std::string_view name;
  int scope = 0;
  int statement = 0;
};

struct FunctionSyntax {
  std::string_view name;
  int line = 0;
  bool kernel = false;
  bool has_body = false;
  std::vector<VariableSyntax> parameter_space;  // formal parameters, results, arguments of calls
  std::size_t parameter_bytes = 0;
  std::vector<int> parameters;  // indices into parameter_space
  std::vector<int> results;
  std::vector<VariableSyntax> locals;
  std::size_t local_bytes = 0;
  std::vector<VariableSyntax> shared;
  std::size_t shared_bytes = 0;
  std::vector<Type> registers;
  std::vector<Statement> statements;
  std::vector<int> scopes = {-1};  // the parent of each scope, of which 0 is the body
  std::vector<Label> labels;
  std::unordered_map<std::string_view, std::vector<std::string_view>> branch_targets;
  Dim3 required_block = {0, 0, 0};
  u32 max_threads = 0;
};

struct ModuleSyntax {
  std::vector<VariableSyntax> variables;  // .global, .const and module-wide .shared
  std::vector<FunctionSyntax> functions;
};

}  // namespace reformer::ptx
