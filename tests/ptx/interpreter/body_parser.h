// Reads the body of a function: declarations, labels and statements, with names resolved to
// registers, parameters and local variables by the rules of nested scopes.
#pragma once

#include <string_view>
#include <unordered_map>
#include <vector>

#include "tests/ptx/interpreter/lexer.h"
#include "tests/ptx/interpreter/syntax.h"

namespace reformer::ptx {

class BodyParser {
 public:
  // Formal parameters are in function.parameter_space already.
  BodyParser(std::string_view text, Lexer& lexer, FunctionSyntax& function);

  void parse();  // from after the opening brace to after the closing one

 private:
  struct Name {
    SyntaxOperand::Kind kind;
    int index;
  };
  struct Family {  // .reg .b32 %r<8>: %r0 to %r7
    std::string_view prefix;
    int first;
    int count;
  };
  struct Scope {
    int number;
    std::unordered_map<std::string_view, Name> names;
    std::vector<Family> families;
  };

  void open_scope();
  void directive();
  void registers();
  void variables(Space space);
  void label_or_statement();
  void labelled_directive(std::string_view label);
  void statement();
  void predicate(Statement& statement);
  SyntaxOperand operand();
  SyntaxOperand list(char close);
  SyntaxOperand in_brackets();
  SyntaxOperand named();
  const Name* find(std::string_view name) const;
  bool find_in_family(std::string_view name, int& index) const;
  int register_named(const Token& token) const;

  std::string_view text_;
  Lexer& lexer_;
  FunctionSyntax& function_;
  std::vector<Scope> scopes_;
};

}  // namespace reformer::ptx
