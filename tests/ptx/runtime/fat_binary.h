// Fat binaries: the images that nvcc embeds in a program, one for each architecture and kind. The
// format is not documented; what is read here was found in the output of nvcc 13.0 and holds for
// earlier versions.
#pragma once

#include <cstddef>
#include <string>

namespace reformer::ptx {

struct PtxImage {
  std::string text;
  int arch = 0;  // 80 for compute_80
};

/// The PTX of the highest architecture that is at most `highest_arch`. `fat_binary` is what the
/// program registers: a header that gives the size of what follows. Throws std::runtime_error that
/// names the images when there is none, or when one is damaged.
PtxImage choose_ptx(const std::byte* fat_binary, int highest_arch);

}  // namespace reformer::ptx
