// Memory full of NaN that costs nothing before it is touched.
#pragma once

#include <cstddef>

namespace reformer::ptx {

/// Fills [begin, begin + bytes) of private anonymous memory with bytes of 0xff, a NaN in every
/// floating-point format. Large ranges are mapped to copies of a few pages, made when they are
/// written.
void fill_with_nan(std::byte* begin, size_t bytes);

/// Fills it with 0, and gives its pages back.
void clear_pages(void* begin, size_t bytes);

}  // namespace reformer::ptx
