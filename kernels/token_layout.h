// How the rows of an activation map to the tokens of the global batch.
#pragma once

#include <cstdint>

#include "kernels/core/check.h"

namespace reformer {

/// Row r of an activation holds local token (r % length) of local sequence (r / length). Everything
/// that decides bits is defined by *global* coordinates: GEMM tiles start at multiples of `tile`,
/// gradient partials at multiples of `leaf`, both counted from the start of the sequence, and
/// random numbers are keyed by (first_sample + sample, first_position + token). So results do not
/// depend on how sequences are grouped in micro-batches, nor on how many ranks or threads there
/// are.
struct TokenLayout {
  int64_t samples = 1;         // B: sequences held here
  int64_t length = 1;          // T: tokens of each sequence held here
  int64_t first_sample = 0;    // index of sequence 0 in the batch of the step
  int64_t first_position = 0;  // position of token 0 in its sequence; a multiple of tile
  int64_t tile = 128;          // rows of one GEMM call
  int64_t leaf = 1024;         // tokens of one gradient partial; a multiple of tile

  int64_t rows() const { return samples * length; }

  /// Tokens [begin, end) of one sequence. REQUIRES: begin is a multiple of `tile`.
  TokenLayout slice(int64_t sample, int64_t begin, int64_t end) const {
    CHECK(0 <= sample && sample < samples);
    CHECK(0 <= begin && begin <= end && end <= length);
    CHECK_EQ(begin % tile, 0);
    TokenLayout part = *this;
    part.samples = 1;
    part.length = end - begin;
    part.first_sample = first_sample + sample;
    part.first_position = first_position + begin;
    return part;
  }
};

}  // namespace reformer
