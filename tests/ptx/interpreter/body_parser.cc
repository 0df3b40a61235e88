#include "tests/ptx/interpreter/body_parser.h"

#include <charconv>
#include <string>

#include "tests/ptx/interpreter/declaration.h"

namespace reformer::ptx {
namespace {

// Adds a variable to its space in the function and returns its index there.
int add_to(std::vector<VariableSyntax>& variables, std::size_t& bytes, VariableSyntax variable) {
  variable.offset = place(bytes, variable);
  variables.push_back(std::move(variable));
  return static_cast<int>(variables.size()) - 1;
}

void split(std::string_view word, Statement& statement) {
  std::size_t dot = word.find('.');
  statement.opcode = word.substr(0, dot);
  while (dot != std::string_view::npos) {
    const std::size_t next = word.find('.', dot + 1);
    statement.modifiers.push_back(word.substr(dot + 1, next - dot - 1));
    dot = next;
  }
}

}  // namespace

BodyParser::BodyParser(std::string_view text, Lexer& lexer, FunctionSyntax& function)
    : text_(text), lexer_(lexer), function_(function) {
  scopes_.push_back({0, {}, {}});
  for (std::size_t i = 0; i < function.parameter_space.size(); ++i) {
    scopes_[0].names[function.parameter_space[i].name] = {SyntaxOperand::Kind::kParameter,
                                                          static_cast<int>(i)};
  }
}

void BodyParser::open_scope() {
  function_.scopes.push_back(scopes_.back().number);
  scopes_.push_back({static_cast<int>(function_.scopes.size()) - 1, {}, {}});
}

void BodyParser::parse() {
  while (!scopes_.empty()) {
    const Token& token = lexer_.peek();
    if (token.kind == TokenKind::kEnd) throw ParseError("a function without an end", token.line);
    if (accept(lexer_, '{')) {
      open_scope();
    } else if (accept(lexer_, '}')) {
      scopes_.pop_back();
    } else if (accept(lexer_, ';')) {
      continue;
    } else if (token.kind == TokenKind::kWord && token.text[0] == '.') {
      directive();
    } else {
      label_or_statement();
    }
  }
}

void BodyParser::directive() {
  const Token token = lexer_.peek();
  if (token.is(".loc") || token.is(".file")) {
    lexer_.skip_line();
    return;
  }
  lexer_.next();
  if (token.is(".reg")) {
    registers();
  } else if (token.is(".pragma")) {
    while (!accept(lexer_, ';')) lexer_.next();
  } else if (const auto space = space_named(token.text)) {
    variables(*space);
  } else {
    throw ParseError("unknown directive `" + std::string(token.text) + "`", token.line);
  }
}

void BodyParser::registers() {
  const Token word = lexer_.next();
  const auto type = type_named(word.text.substr(1));
  if (!type) unexpected(word);
  do {
    const std::string_view name = expect_word(lexer_);
    const int first = static_cast<int>(function_.registers.size());
    int count = 1;
    if (accept(lexer_, '<')) {
      count = static_cast<int>(read_number(lexer_).bits);
      expect(lexer_, '>');
      scopes_.back().families.push_back({name, first, count});
    } else {
      scopes_.back().names[name] = {SyntaxOperand::Kind::kRegister, first};
    }
    function_.registers.insert(function_.registers.end(), static_cast<std::size_t>(count), *type);
  } while (accept(lexer_, ','));
  expect(lexer_, ';');
}

void BodyParser::variables(Space space) {
  for (VariableSyntax& variable : read_variables(lexer_, space)) {
    const std::string_view name = variable.name;
    if (space == Space::kParameter) {
      const int index =
          add_to(function_.parameter_space, function_.parameter_bytes, std::move(variable));
      scopes_.back().names[name] = {SyntaxOperand::Kind::kParameter, index};
    } else if (space == Space::kLocal) {
      const int index = add_to(function_.locals, function_.local_bytes, std::move(variable));
      scopes_.back().names[name] = {SyntaxOperand::Kind::kLocal, index};
    } else if (space == Space::kShared) {
      add_to(function_.shared, function_.shared_bytes, std::move(variable));
    } else {
      throw ParseError("a global variable inside a function", variable.line);
    }
  }
}

void BodyParser::label_or_statement() {
  const Token first = lexer_.peek();
  if (first.kind != TokenKind::kWord) {
    statement();
    return;
  }
  // A label is a word and a colon; looking at the text spares a second token of look-ahead.
  const std::size_t after = text_.find_first_not_of(" \t", first.begin + first.text.size());
  if (after == std::string_view::npos || text_[after] != ':') {
    statement();
    return;
  }
  lexer_.next();
  expect(lexer_, ':');
  if (lexer_.peek().kind == TokenKind::kWord && lexer_.peek().text[0] == '.') {
    labelled_directive(first.text);
  } else {
    function_.labels.push_back(
        {first.text, scopes_.back().number, static_cast<int>(function_.statements.size())});
  }
}

void BodyParser::labelled_directive(std::string_view label) {
  const Token token = lexer_.peek();
  if (token.is(".branchtargets")) {
    lexer_.next();
    do {
      function_.branch_targets[label].push_back(expect_word(lexer_));
    } while (accept(lexer_, ','));
    expect(lexer_, ';');
  } else if (token.is(".callprototype") || token.is(".calltargets")) {
    while (!accept(lexer_, ';')) lexer_.next();
  } else {
    function_.labels.push_back(
        {label, scopes_.back().number, static_cast<int>(function_.statements.size())});
  }
}

void BodyParser::statement() {
  Statement statement;
  statement.line = lexer_.peek().line;
  statement.scope = scopes_.back().number;
  const std::size_t begin = lexer_.peek().begin;
  predicate(statement);
  const Token word = lexer_.next();
  if (word.kind != TokenKind::kWord) unexpected(word);
  split(word.text, statement);
  while (!lexer_.peek().is(';')) {
    statement.operands.push_back(operand());
    if (!lexer_.peek().is(';')) expect(lexer_, ',');
  }
  statement.text = text_.substr(begin, lexer_.peek().begin - begin);
  lexer_.next();
  function_.statements.push_back(std::move(statement));
}

void BodyParser::predicate(Statement& statement) {
  if (!accept(lexer_, '@')) return;
  statement.predicate_negated = accept(lexer_, '!');
  statement.predicate = register_named(lexer_.next());
}

SyntaxOperand BodyParser::operand() {
  if (accept(lexer_, '{')) return list('}');
  if (accept(lexer_, '(')) return list(')');
  if (accept(lexer_, '[')) return in_brackets();
  if (accept(lexer_, '!')) {
    SyntaxOperand negated = operand();
    negated.negated = true;
    return negated;
  }
  if (lexer_.peek().kind == TokenKind::kWord) return named();
  SyntaxOperand number;
  number.kind = SyntaxOperand::Kind::kNumber;
  number.number = read_number(lexer_);
  return number;
}

SyntaxOperand BodyParser::list(char close) {
  SyntaxOperand vector;
  vector.kind = SyntaxOperand::Kind::kVector;
  while (!accept(lexer_, close)) {
    vector.elements.push_back(operand());
    accept(lexer_, ',');
  }
  return vector;
}

SyntaxOperand BodyParser::in_brackets() {
  SyntaxOperand inner = operand();
  inner.address = true;
  expect(lexer_, ']');
  return inner;
}

SyntaxOperand BodyParser::named() {
  const Token token = lexer_.next();
  SyntaxOperand operand;
  if (token.text != "_") {
    int index = 0;
    if (const Name* name = find(token.text)) {
      operand.kind = name->kind;
      operand.index = name->index;
    } else if (find_in_family(token.text, index)) {
      operand.kind = SyntaxOperand::Kind::kRegister;
      operand.index = index;
    } else {
      operand.kind = SyntaxOperand::Kind::kSymbol;
      operand.name = token.text;
    }
  }
  if (lexer_.peek().is('+') || lexer_.peek().is('-')) {
    // %rd1+-8 has two signs.
    const bool negative = lexer_.next().is('-');
    const auto offset = static_cast<s64>(read_number(lexer_).bits);
    operand.offset = negative ? -offset : offset;
  } else if (accept(lexer_, '|')) {
    const Token second = lexer_.next();
    if (second.text != "_") operand.second = register_named(second);
  }
  return operand;
}

const BodyParser::Name* BodyParser::find(std::string_view name) const {
  for (std::size_t i = scopes_.size(); i-- > 0;) {
    const auto found = scopes_[i].names.find(name);
    if (found != scopes_[i].names.end()) return &found->second;
  }
  return nullptr;
}

bool BodyParser::find_in_family(std::string_view name, int& index) const {
  const std::size_t digits = name.find_last_not_of("0123456789") + 1;
  if (digits == 0 || digits == name.size()) return false;
  int number = 0;
  std::from_chars(name.data() + digits, name.data() + name.size(), number);
  for (std::size_t i = scopes_.size(); i-- > 0;) {
    for (const Family& family : scopes_[i].families) {
      if (family.prefix == name.substr(0, digits) && number < family.count) {
        index = family.first + number;
        return true;
      }
    }
  }
  return false;
}

int BodyParser::register_named(const Token& token) const {
  int index = 0;
  if (const Name* name = find(token.text)) {
    if (name->kind == SyntaxOperand::Kind::kRegister) return name->index;
  } else if (find_in_family(token.text, index)) {
    return index;
  }
  throw ParseError("`" + std::string(token.text) + "` is no register", token.line);
}

}  // namespace reformer::ptx
