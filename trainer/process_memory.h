// Memory of this process and machine, as the kernel counts it.
#pragma once

#include <cstddef>
#include <optional>

namespace reformer {

/// Bytes of memory that this process holds now, and held at most so far. 0 if not known.
size_t resident_memory();
size_t peak_resident_memory();

/// Bytes that this process can still take: of the machine's, and of what its control group allows.
/// None if the machine does not say.
std::optional<size_t> available_memory();

}  // namespace reformer
