#include "trainer/model/pass.h"

#include <algorithm>

namespace reformer {

std::vector<TokenChunk> token_chunks(const TokenLayout& layout, int64_t tokens) {
  std::vector<TokenChunk> chunks;
  if (layout.length <= tokens) {
    const int64_t group = tokens / layout.length;
    for (int64_t sample = 0; sample < layout.samples; sample += group) {
      TokenLayout part = layout;
      part.first_sample += sample;
      part.samples = std::min(group, layout.samples - sample);
      const int64_t begin = sample * layout.length;
      chunks.push_back({part, begin, begin + part.rows()});
    }
    return chunks;
  }
  const int64_t step = std::max<int64_t>(1, tokens / layout.leaf) * layout.leaf;
  for (int64_t sample = 0; sample < layout.samples; ++sample) {
    for (int64_t begin = 0; begin < layout.length; begin += step) {
      const int64_t end = std::min(begin + step, layout.length);
      const int64_t base = sample * layout.length;
      chunks.push_back({layout.slice(sample, begin, end), base + begin, base + end});
    }
  }
  return chunks;
}

}  // namespace reformer
