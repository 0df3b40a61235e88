// Memory of this process and machine, as the kernel counts it.
#pragma once

#include <cstddef>
#include <optional>

namespace reformer {

/// Bytes of memory that this process holds now, and held at most so far. 0 if not known.
size_t resident_memory();
size_t peak_resident_memory();

/// Bytes that programs can still take on this machine, if it says so.
std::optional<size_t> available_memory();

}  // namespace reformer
