#include "tests/ptx/interpreter/declaration.h"

#include <algorithm>
#include <cstdlib>
#include <string>

#include "tests/ptx/interpreter/floats.h"

namespace reformer::ptx {

void unexpected(const Token& token) {
  throw ParseError("unexpected `" + std::string(token.text) + "`", token.line);
}

void expect(Lexer& lexer, char symbol) {
  const Token token = lexer.next();
  if (!token.is(symbol)) unexpected(token);
}

bool accept(Lexer& lexer, char symbol) {
  if (!lexer.peek().is(symbol)) return false;
  lexer.next();
  return true;
}

std::string_view expect_word(Lexer& lexer) {
  const Token token = lexer.next();
  if (token.kind != TokenKind::kWord) unexpected(token);
  return token.text;
}

u64 bits_for(const Number& number, Type type) {
  if (!number.is_decimal) return number.bits;
  switch (type) {
    case Type::kF64:
      return bits_of(number.decimal);
    case Type::kF16:
      return to_half(number.decimal);
    case Type::kBf16:
      return to_bfloat(number.decimal);
    default:
      return bits_of(static_cast<float>(number.decimal));
  }
}

std::size_t place(std::size_t& bytes, const VariableSyntax& variable) {
  const std::size_t alignment = variable.alignment;
  const std::size_t offset = (bytes + alignment - 1) / alignment * alignment;
  bytes = offset + variable.bytes;
  return offset;
}

Number read_number(Lexer& lexer) {
  bool negative = false;
  if (lexer.peek().is('+') || lexer.peek().is('-')) negative = lexer.next().is('-');
  const Token token = lexer.next();
  if (token.kind != TokenKind::kNumber) unexpected(token);
  const std::string text(token.text);
  const char kind = text.size() > 2 && text[0] == '0' ? static_cast<char>(text[1] | 0x20) : ' ';
  Number number;
  if (kind == 'f' || kind == 'd') {
    if (text.size() != (kind == 'f' ? 10 : 18)) unexpected(token);
    const u64 sign = negative ? u64{1} << (kind == 'f' ? 31 : 63) : 0;
    number.bits = std::strtoull(text.c_str() + 2, nullptr, 16) ^ sign;
    return number;
  }
  if (kind != 'x' && text.find('.') != std::string::npos) {
    number.is_decimal = true;
    number.decimal = std::strtod(text.c_str(), nullptr) * (negative ? -1 : 1);
    return number;
  }
  char* end = nullptr;
  number.bits =
      kind == 'b' ? std::strtoull(text.c_str() + 2, &end, 2) : std::strtoull(text.c_str(), &end, 0);
  if (*end != '\0' && std::string_view(end) != "U") unexpected(token);
  if (negative) number.bits = 0 - number.bits;
  return number;
}

std::optional<Space> space_named(std::string_view directive) {
  if (directive == ".global") return Space::kGlobal;
  if (directive == ".const") return Space::kConstant;
  if (directive == ".shared") return Space::kShared;
  if (directive == ".local") return Space::kLocal;
  if (directive == ".param") return Space::kParameter;
  return std::nullopt;
}

namespace {

// name, name+8 or generic(name)+8.
InitialValue read_symbol(Lexer& lexer) {
  InitialValue value;
  value.symbol = expect_word(lexer);
  if (value.symbol == "generic") {
    expect(lexer, '(');
    value.symbol = expect_word(lexer);
    expect(lexer, ')');
  }
  if (lexer.peek().is('+') || lexer.peek().is('-')) {
    value.offset = static_cast<s64>(read_number(lexer).bits);
  }
  return value;
}

void read_values(Lexer& lexer, std::vector<InitialValue>& values) {
  if (accept(lexer, '{')) {
    while (!accept(lexer, '}')) {
      read_values(lexer, values);
      accept(lexer, ',');
    }
  } else if (lexer.peek().kind == TokenKind::kWord) {
    values.push_back(read_symbol(lexer));
  } else {
    values.push_back({read_number(lexer), {}, 0});
  }
}

// The number of elements that [2][3] says; nothing for [].
std::optional<std::size_t> read_dimensions(Lexer& lexer) {
  std::size_t elements = 1;
  while (accept(lexer, '[')) {
    if (accept(lexer, ']')) return std::nullopt;
    elements *= static_cast<std::size_t>(read_number(lexer).bits);
    expect(lexer, ']');
  }
  return elements;
}

// `.align 4`, `.ptr .global .align 8`, `.v4`, `.f32`: until the name.
struct Attributes {
  Type type = Type::kB8;
  std::size_t vector = 1;
  std::size_t alignment = 1;
};

Attributes read_attributes(Lexer& lexer) {
  Attributes attributes;
  bool of_pointer = false;
  while (lexer.peek().kind == TokenKind::kWord && lexer.peek().text[0] == '.') {
    const Token token = lexer.next();
    const std::string_view word = token.text.substr(1);
    if (word == "align") {
      const auto alignment = static_cast<std::size_t>(read_number(lexer).bits);
      if (!of_pointer) attributes.alignment = std::max<std::size_t>(1, alignment);
    } else if (word == "ptr") {
      of_pointer = true;  // what follows describes what the pointer points at
    } else if (word == "v2" || word == "v4") {
      attributes.vector = word == "v2" ? 2 : 4;
    } else if (const auto type = type_named(word)) {
      attributes.type = *type;
    } else if (!of_pointer && word != "volatile" && word != "const") {
      unexpected(token);
    }
  }
  return attributes;
}

VariableSyntax read_named(Lexer& lexer, Space space, const Attributes& attributes) {
  VariableSyntax variable;
  variable.line = lexer.peek().line;
  variable.name = expect_word(lexer);
  variable.space = space;
  variable.type = attributes.type;
  const std::size_t element = static_cast<std::size_t>(bytes_of(attributes.type));
  variable.alignment = std::max(attributes.alignment, element * attributes.vector);
  const std::optional<std::size_t> elements = read_dimensions(lexer);
  if (accept(lexer, '=')) read_values(lexer, variable.values);
  const std::size_t count = elements ? *elements * attributes.vector : variable.values.size();
  variable.bytes = count * element;
  if (variable.values.size() * element > variable.bytes) {
    throw ParseError("more values than `" + std::string(variable.name) + "` holds", variable.line);
  }
  return variable;
}

}  // namespace

VariableSyntax read_variable(Lexer& lexer, Space space) {
  const Attributes attributes = read_attributes(lexer);
  return read_named(lexer, space, attributes);
}

std::vector<VariableSyntax> read_variables(Lexer& lexer, Space space) {
  const Attributes attributes = read_attributes(lexer);
  std::vector<VariableSyntax> variables;
  do {
    variables.push_back(read_named(lexer, space, attributes));
  } while (accept(lexer, ','));
  expect(lexer, ';');
  return variables;
}

}  // namespace reformer::ptx
