// A backend that computes nothing. Running a training step against it shows how much memory the
// step takes before any is taken: its arenas only count (arena.h), so views must not be
// dereferenced.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace reformer {

/// `download` writes zeros; every other op does nothing.
std::unique_ptr<Backend> make_plan_backend();

}  // namespace reformer
