// Checks of this program on the machine it runs on: that what the tests showed where it was built
// holds with the processor, libraries and MPI that are here. Each takes a few seconds on a small
// model with every kind of layer.
#pragma once

#include <functional>
#include <string>

#include "comm/communicator.h"
#include "kernels/backend.h"

namespace reformer {

struct CheckResult {
  std::string name;  // what is claimed: "gradients equal finite differences"
  bool holds = false;
  std::string detail;  // what was measured, and what is allowed
};

/// Makes a backend for one rank of those that a check starts.
using BackendMaker = std::function<std::unique_ptr<Backend>()>;

/// The gradient of every parameter tensor, against central differences of the loss. gradients.cc
CheckResult check_gradients(Backend& backend);

/// One step with activations rebuilt and one with activations stored: the same gradients
/// to the bit. reversibility.cc
CheckResult check_reversibility(Backend& backend);

/// A few training steps on all ranks of `communicator`, or, if it has but one, on ranks that are
/// threads, against the same steps on one: the same parameters to the bit, whether the ranks work
/// on sequences of their own or, if there are an even number, share them in twos. Collective; every
/// rank gets the same result. ranks.cc
CheckResult check_ranks(Communicator& communicator, const BackendMaker& make_backend);

/// Texts of different lengths decoded token by token, against the forward pass over each.
/// decoding.cc
CheckResult check_decoding(Backend& backend);

}  // namespace reformer
