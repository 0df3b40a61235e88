// Files that a subcommand writes for the person who asked for them.
#pragma once

#include <string>

namespace reformer {

/// Writes `text` in place of what the file had. Throws DataError, which names the file.
void write_file(const std::string& path, const std::string& text);

/// Throws DataError where write_file could not write: to know it before hours of work, not after.
/// What the file has stays; where there is none, it is made, empty.
void require_writable(const std::string& path);

}  // namespace reformer
