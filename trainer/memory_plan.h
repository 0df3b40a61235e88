// How much memory a run takes, known before any of it is taken: one step and one evaluation, or the
// decoding of a text, run against a backend that computes nothing and an arena that only counts.
// `on` is the backend that the run will have; null: the CPU's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/mesh.h"
#include "kernels/backend.h"
#include "kernels/core/arena.h"
#include "trainer/config/config.h"

namespace reformer {

struct MemoryPlan {
  // Exactly what training and evaluation need on the backend; less only where the held-out part of
  // a file has fewer sequences than evaluation holds at a time.
  size_t arena_bytes = 0;
  MemoryUsage by_use{};        // at the moment of the peak
  size_t workspace_bytes = 0;  // of the ops, besides the arena; see Backend::reserve_workspace
  // Besides, an upper bound of what a decoder remembers of buckets on the host.
  size_t host_bytes = 0;
};

/// For the rank at this place of the mesh. A little more than it takes where the groups of ranks do
/// not divide the batch, and others have more sequences.
MemoryPlan plan_training(const RunConfig& config, const Mesh& mesh = {},
                         const Backend* on = nullptr);

struct PlannedEvaluation {
  std::vector<int64_t> rounds{};  // besides the model's own; see round_sweep.h
  bool decoded = false;           // token by token as well; see evaluate_decoded.h
  Mesh mesh{};
};
/// For evaluation alone, of the rank at its place of the mesh.
MemoryPlan plan_evaluation(const RunConfig& config, const PlannedEvaluation& evaluation = {},
                           const Backend* on = nullptr);

/// For `sequences` texts that are decoded side by side (decoder.h), the longest prompt of
/// `prompt_tokens` and each of at most `capacity` tokens in all. Where the caches alone exceed the
/// available memory, no more than those.
MemoryPlan plan_generation(const ModelSpec& spec, int64_t sequences, int64_t prompt_tokens,
                           int64_t capacity, const Backend* on = nullptr);

/// Takes the planned memory: reserves the workspace and returns the arena.
std::unique_ptr<Arena> take(const MemoryPlan& plan, Backend& backend);

/// One line for each use: "parameters 12.3 MiB, gradients …".
std::string describe(const MemoryPlan& plan);

/// What is to be said when `local_ranks` ranks on this machine would exceed the memory that it has
/// available, or a rank that of its device: both numbers and the settings that would help. Empty if
/// it suffices.
std::string complaint_about_memory(const MemoryPlan& plan, int local_ranks = 1,
                                   const Backend* on = nullptr);

/// The same for the decoding of texts.
std::string complaint_about_decoding_memory(const MemoryPlan& plan, const Backend* on = nullptr);

/// "512 B", "12.3 MiB", "4.56 GiB".
std::string format_bytes(size_t bytes);

}  // namespace reformer
