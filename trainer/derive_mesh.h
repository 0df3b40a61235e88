// The place of a rank: what `parallel` asks for, and what follows from the number of ranks.
#pragma once

#include <string>
#include <vector>

#include "comm/mesh.h"
#include "comm/operation.h"
#include "kernels/backend.h"
#include "trainer/config/config.h"

namespace reformer {

/// The place of `rank` among `ranks` that compute on backends like `backend`. What `parallel`
/// leaves at 0 is derived as run.proto says. The same on all ranks but for the place, whatever the
/// rank. Throws ConfigError, which lists the counts that can work, where the ranks cannot share the
/// work so.
Mesh derive_mesh(const RunConfig& config, const Backend& backend, int rank, int ranks);

/// The positions of every rank of a sequence.
std::vector<Slice> tokens_of_ranks(const RunConfig& config, const Mesh& mesh);

/// "4 ranks: 2 × data, 2 × sequence (2 × heads, 1 × buckets), 32768 tokens each".
std::string describe(const Mesh& mesh, int64_t length, int64_t leaf_tokens);

/// What the ranks of a sequence have to exchange for a layer, in words: "2 ranks share its heads, 2
/// its buckets". Empty where sequences are not shared.
std::string describe_exchange(const Mesh& mesh, const LayerSpec& layer);

/// Of every layer "layer 0: ATTENTION; EXCHANGE".
std::vector<std::string> describe_layers(const Mesh& mesh, const ModelSpec& model);

}  // namespace reformer
