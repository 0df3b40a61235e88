// Which keys a query sees: the shape of one attention layer.
#pragma once

#include <cstdint>

namespace reformer {

/// The self score is −1e5 in all shared query-key kinds: a token sees itself only when it sees
/// nothing else in any round.
enum class AttentionKind : uint8_t {
  /// LSH, strictly causal: same bucket, pos_j <= pos_i, 0 <= slot_i − slot_j <= chunk_length. What
  /// i sees depends on tokens <= i alone.
  kStrict,
  /// LSH as in the paper, trax and Hugging Face: chunks of chunk_length slots see themselves and
  /// the chunk before (if not causal, also the one after), cyclic over the list of all rounds'
  /// chunks.
  kChunked,
  /// Chunks of chunk_length positions see themselves and the chunk before (if not causal, also the
  /// one after), not cyclic. Separate queries and keys, score q·k / √D, the self score is ordinary.
  kLocal,
  /// Every token (if causal, every token up to the query). Shared query-key, as in LSH.
  kFull,
};

constexpr bool is_hashed(AttentionKind kind) {
  return kind == AttentionKind::kStrict || kind == AttentionKind::kChunked;
}

/// LOCAL has a key projection of its own; the other kinds share queries and keys.
constexpr bool has_shared_query_key(AttentionKind kind) {
  return kind != AttentionKind::kLocal;
}

struct AttentionPattern {
  AttentionKind kind = AttentionKind::kStrict;
  bool causal = true;               // always true for kStrict
  int64_t heads = 1;                // H
  int64_t head_dim = 1;             // D
  int64_t rounds = 1;               // R; 1 unless hashed
  int64_t chunk_length = 64;        // C; unused by kFull
  bool same_bucket_only = false;    // kChunked: other buckets, and other rounds, are masked
  bool correct_duplicates = false;  // hashed: a pair seen N times over all rounds counts 1/N each
};

}  // namespace reformer
