#include "tests/ptx/interpreter/parser.h"

#include <string>

#include "tests/ptx/interpreter/body_parser.h"
#include "tests/ptx/interpreter/declaration.h"
#include "tests/ptx/interpreter/lexer.h"

namespace reformer::ptx {
namespace {

void read_parameters(Lexer& lexer, FunctionSyntax& function, std::vector<int>& indices) {
  if (!accept(lexer, '(')) return;
  while (!accept(lexer, ')')) {
    const Token token = lexer.next();
    if (!token.is(".param")) unexpected(token);
    VariableSyntax variable = read_variable(lexer, Space::kParameter);
    variable.offset = place(function.parameter_bytes, variable);
    indices.push_back(static_cast<int>(function.parameter_space.size()));
    function.parameter_space.push_back(std::move(variable));
    accept(lexer, ',');
  }
}

Dim3 read_triple(Lexer& lexer) {
  Dim3 triple;
  triple.x = static_cast<u32>(read_number(lexer).bits);
  if (accept(lexer, ',')) triple.y = static_cast<u32>(read_number(lexer).bits);
  if (accept(lexer, ',')) triple.z = static_cast<u32>(read_number(lexer).bits);
  return triple;
}

// .maxntid 256, 1, 1 and the like, between the parameters and the body.
void read_performance_directives(Lexer& lexer, FunctionSyntax& function) {
  while (lexer.peek().kind == TokenKind::kWord) {
    const Token token = lexer.next();
    if (token.is(".maxntid") || token.is(".reqntid")) {
      const Dim3 triple = read_triple(lexer);
      function.max_threads = triple.x * triple.y * triple.z;
      if (token.is(".reqntid")) function.required_block = triple;
    } else if (token.text[0] != '.') {
      unexpected(token);
    } else {
      while (lexer.peek().kind == TokenKind::kNumber || lexer.peek().is(',')) lexer.next();
    }
  }
}

void read_function(std::string_view text, Lexer& lexer, bool kernel, ModuleSyntax& module) {
  FunctionSyntax function;
  function.kernel = kernel;
  read_parameters(lexer, function, function.results);
  while (lexer.peek().kind == TokenKind::kWord && lexer.peek().text[0] == '.') lexer.next();
  function.line = lexer.peek().line;
  function.name = expect_word(lexer);
  read_parameters(lexer, function, function.parameters);
  read_performance_directives(lexer, function);
  if (!accept(lexer, ';')) {
    expect(lexer, '{');
    function.has_body = true;
    BodyParser(text, lexer, function).parse();
  }
  module.functions.push_back(std::move(function));
}

// .section {…}, .pragma "…";, .alias a, b;
void skip_until(Lexer& lexer, char symbol) {
  while (!accept(lexer, symbol)) {
    const Token token = lexer.next();
    if (token.kind == TokenKind::kEnd) unexpected(token);
  }
}

}  // namespace

ModuleSyntax parse_syntax(std::string_view text) {
  Lexer lexer(text);
  ModuleSyntax module;
  bool external = false;
  while (lexer.peek().kind != TokenKind::kEnd) {
    const Token token = lexer.peek();
    if (token.is(".version") || token.is(".target") || token.is(".address_size") ||
        token.is(".file") || token.is(".loc")) {
      lexer.skip_line();
      continue;
    }
    lexer.next();
    if (token.is(".visible") || token.is(".weak") || token.is(".common")) continue;
    if (token.is(".extern")) {
      external = true;
      continue;
    }
    if (token.is(".entry") || token.is(".func")) {
      read_function(text, lexer, token.is(".entry"), module);
    } else if (const auto space = space_named(token.text)) {
      for (VariableSyntax& variable : read_variables(lexer, *space)) {
        variable.external = external;
        module.variables.push_back(std::move(variable));
      }
    } else if (token.is(".section")) {
      skip_until(lexer, '}');
    } else if (token.is(".pragma") || token.is(".alias")) {
      skip_until(lexer, ';');
    } else if (!token.is(';')) {
      unexpected(token);
    }
    external = false;
  }
  return module;
}

}  // namespace reformer::ptx
