// Where a long text may be cut so that its parts can be encoded one after the other.
#pragma once

#include <cstddef>
#include <string_view>

namespace reformer {

/// Bytes of `text`, at most `most`, that go into its first part: all if they fit, else up to a
/// space that begins the next part, else, where a part has no space after its first characters, up
/// to the start of a UTF-8 character. At least 1 for a text that is not empty. Two parts that
/// follow each other are together longer than `most`, so a text that ends where a part of a longer
/// one does is cut at the same places. REQUIRES: most >= 4.
size_t cut_before_word(std::string_view text, size_t most);

}  // namespace reformer
