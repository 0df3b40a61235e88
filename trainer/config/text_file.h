// Reads a file in Protobuf text format from the disk.
#pragma once

#include <string>

namespace reformer {

/// The text of the file. Throws ConfigError with `legal` where there is none, or far too much.
std::string read_text_file(const std::string& path, const std::string& legal);

}  // namespace reformer
