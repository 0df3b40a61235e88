// Reads declarations of variables and literals, in a module, a function or a parameter list.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "tests/ptx/interpreter/lexer.h"
#include "tests/ptx/interpreter/syntax.h"

namespace reformer::ptx {

[[noreturn]] void unexpected(const Token& token);
void expect(Lexer& lexer, char symbol);
bool accept(Lexer& lexer, char symbol);
std::string_view expect_word(Lexer& lexer);

// A number, with a sign where there is one.
Number read_number(Lexer& lexer);

// ".global" → Space::kGlobal; nothing for what is no state space.
std::optional<Space> space_named(std::string_view directive);

// One declaration after its state space: `.align 4 .b8 name[16] = {…}`, up to and without what
// follows.
VariableSyntax read_variable(Lexer& lexer, Space space);
// Several of them, separated by commas and closed by a semicolon.
std::vector<VariableSyntax> read_variables(Lexer& lexer, Space space);

}  // namespace reformer::ptx
