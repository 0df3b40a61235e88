// How operations between the ranks of a sequence are called.
#pragma once

#include <string>

#include <fmt/format.h>

namespace reformer {

/// "attention of layer 3: heads in". Few words stand for `what`, since reports have a line for
/// each:
///   heads in, heads out   what ranks that share heads send to those that work on them, and back
///   slots in, slots out   the same where they share slots
///   slot counts           how many tokens are in which buckets and windows
///   halo                  what is around the tokens of a rank
///   mask
inline std::string attention_tag(int layer, const char* what) {
  return fmt::format("attention of layer {}: {}", layer, what);
}

}  // namespace reformer
