// What one pass over one micro-batch shares: where it runs, which tokens, which random numbers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/sequence_group.h"
#include "kernels/backend.h"
#include "trainer/model/model_spec.h"

namespace reformer {

/// Places where activations are dropped. Part of the random key: never renumber.
enum class DropoutSite : uint32_t {
  kEmbedding = 0,
  kAttentionWeights = 1,
  kAttentionOutput = 2,
  kFeedForwardHidden = 3,
  kFeedForwardOutput = 4,
  kHead = 5,
};

struct Pass {
  Backend& backend;
  Arena& arena;
  const ModelSpec& spec;
  TokenLayout layout;  // of the tokens of this rank
  // The ranks that share these sequences; null: nobody, they are here as a whole.
  const SequenceGroup* sequence = nullptr;
  View mask;  // Uint8 [B, T], 0 = padding; or absent

  // Of every layer, on the host; see rotations.h.
  std::span<const Tensor> rotations;

  // Dropout is keyed by these two; see philox.h.
  uint64_t seed = 0;
  int64_t step = 0;
  bool training = false;

  // Int64 [layers + 2, kFaultKinds]: a row for each part of the model.
  View faults;
  // Leaves and tokens of the whole step over all ranks; bound the terms of exact sums.
  int64_t leaves_in_step = 1;
  int64_t tokens_in_step = 1;

  View faults_of(int part) const { return faults.rows(part + 1, part + 2).reshape({kFaultKinds}); }

  /// For gradients of which each leaf is one term.
  GradientSum leaf_sum(int part) const {
    return {.limit = 0x1p62 / static_cast<double>(leaves_in_step), .faults = faults_of(part)};
  }
  /// For sums of which each token is one term.
  GradientSum token_sum(int part) const {
    return {.limit = 0x1p62 / static_cast<double>(tokens_in_step), .faults = faults_of(part)};
  }

  Dropout dropout(int part, DropoutSite site) const {
    const float rate =
        site == DropoutSite::kAttentionWeights ? spec.attention_dropout : spec.dropout;
    if (!training || rate == 0) return {};
    const uint32_t index = static_cast<uint32_t>(part + 1) * 16 + static_cast<uint32_t>(site);
    return {.rate = rate,
            .key = make_key(seed, RandomUse::kDropout, static_cast<uint64_t>(step), index)};
  }

  /// The rows of one sequence.
  View rows_of(const View& activation, int64_t sample) const {
    return activation.rows(sample * layout.length, (sample + 1) * layout.length);
  }

  /// Float32 scratch for one block.
  View block_memory(const Shape& shape) const {
    return arena.allocate(DType::kFloat32, shape, MemoryUse::kBlock);
  }
  /// The same for activations.
  View activation_memory(const Shape& shape) const {
    return arena.allocate(spec.compute_dtype, shape, MemoryUse::kBlock);
  }
  /// For what is sent to and fetched from other ranks.
  View exchange_memory(DType dtype, const Shape& shape) const {
    return arena.allocate(dtype, shape, MemoryUse::kExchange);
  }
  /// Int32 numbers of rows on the backend, for ops that order what is exchanged.
  View upload_index(std::span<const int32_t> index, const Shape& shape) const {
    const View view = exchange_memory(DType::kInt32, shape);
    CHECK_EQ(view.elements(), static_cast<int64_t>(index.size()));
    backend.upload(index.data(), view);
    return view;
  }
};

/// Consecutive rows of the micro-batch.
struct TokenChunk {
  TokenLayout layout;
  int64_t begin = 0;
  int64_t end = 0;

  View of(const View& activation) const { return activation.rows(begin, end); }
};

/// Cuts a micro-batch into chunks of about `tokens` tokens (the paper's chunking, section 4):
/// several whole sequences, or part of one that starts and ends at leaf boundaries.
std::vector<TokenChunk> token_chunks(const TokenLayout& layout, int64_t tokens);

}  // namespace reformer
