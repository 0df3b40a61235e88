// A backend that shows every op to an observer, which runs it: to count or to time what a model
// asks for.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "kernels/backend.h"
#include "kernels/op_cost.h"

namespace reformer {

/// Called for each op with its name ("linear_backward_weight", "copy"), its cost, and what runs it,
/// which must be called once.
using OpObserver =
    std::function<void(std::string_view op, const OpCost& cost, const std::function<void()>& run)>;

/// `backend` must outlive it.
std::unique_ptr<Backend> make_observed_backend(Backend& backend, OpObserver observer);

}  // namespace reformer
