// Reads a whole PTX text.
#pragma once

#include <string_view>

#include "tests/ptx/interpreter/syntax.h"

namespace reformer::ptx {

// ParseError where the text is malformed. The result has views into `text`.
ModuleSyntax parse_syntax(std::string_view text);

}  // namespace reformer::ptx
