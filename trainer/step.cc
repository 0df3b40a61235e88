#include "trainer/step.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/core/fixed_point.h"
#include "trainer/schedule.h"

namespace reformer {
namespace {

/// The part of the step's batch that one rank works on.
struct LocalBatch {
  int64_t first = 0;  // first sample, counted in the batch of the step
  std::vector<TokenBatch> micro_batches;
  int64_t valid_labels = 0;  // of this rank
};

LocalBatch read_batch(const config::Run& run, const Dataset& dataset,
                      const Communicator& communicator, int64_t step) {
  const int64_t batch = run.training().batch();
  LocalBatch local;
  local.first = batch * communicator.rank() / communicator.size();
  const int64_t last = batch * (communicator.rank() + 1) / communicator.size();
  const int64_t micro_batch = micro_batch_of(run.training());
  for (int64_t first = local.first; first < last; first += micro_batch) {
    const int64_t samples = std::min(micro_batch, last - first);
    local.micro_batches.push_back(dataset.training_batch(step, first, samples));
    local.valid_labels += local.micro_batches.back().valid_labels;
  }
  return local;
}

int64_t sum_over_ranks(Communicator& communicator, int64_t value) {
  communicator.all_reduce_sum(View(&value, DType::kInt64, {1}));
  return value;
}

/// Global L2 norm of the summed gradients, from fixed blocks added in a fixed order.
double gradient_norm(const TrainingState& state) {
  state.backend.sum_of_squares({.x = state.gradients, .block_sums = state.norm_blocks});
  std::vector<double> blocks(static_cast<size_t>(state.norm_blocks.elements()));
  state.backend.download(state.norm_blocks, blocks.data());
  double sum = 0;
  for (double block : blocks) sum += block;
  return std::sqrt(sum);
}

std::vector<int64_t> download_integers(Backend& backend, const View& view) {
  std::vector<int64_t> values(static_cast<size_t>(view.elements()));
  backend.download(view, values.data());
  return values;
}

/// Factor that brings a gradient of norm `norm` down to `limit`; 1 if it is shorter, or limit is 0.
double clip_scale(double norm, double limit) {
  return limit > 0 && norm > limit ? limit / norm : 1.0;
}

}  // namespace

int64_t micro_batch_of(const config::Training& training) {
  return training.micro_batch() > 0 ? training.micro_batch() : training.batch();
}

StepResult train_step(const config::Run& run, const Dataset& dataset, Communicator& communicator,
                      TrainingState& state, SkipGuard& guard, int64_t step) {
  Backend& backend = state.backend;
  const int64_t length = run.data().length();
  const int64_t samples_in_step = run.training().batch();
  const int64_t leaves_per_sample = (length + state.spec.leaf_tokens - 1) / state.spec.leaf_tokens;

  const LocalBatch local = read_batch(run, dataset, communicator, step);
  const int64_t valid_labels = sum_over_ranks(communicator, local.valid_labels);
  for (const View& sum : {state.gradients, state.loss, state.correct, state.faults}) {
    backend.fill_zero(sum);
  }

  int64_t first_sample = local.first;
  for (const TokenBatch& batch : local.micro_batches) {
    const int64_t samples = batch.tokens.shape()[0];
    Arena::Mark mark(state.arena);
    const View tokens = state.upload_tokens(batch.tokens);
    const View labels = state.upload_tokens(batch.labels);
    const Pass pass{.backend = backend,
                    .arena = state.arena,
                    .spec = state.spec,
                    .layout = state.layout_of(first_sample, samples, length),
                    .mask = {},
                    .seed = run.training().seed(),
                    .step = step,
                    .training = true,
                    .faults = state.faults,
                    .leaves_in_step = samples_in_step * leaves_per_sample,
                    .tokens_in_step = samples_in_step * length};
    const LossSums sums{.scale = 1.0 / static_cast<double>(valid_labels),
                        .loss = state.loss,
                        .correct = state.correct};
    state.model.accumulate_gradients(pass, tokens, labels, sums, state.gradients);
    first_sample += samples;
  }

  for (const View& sum : {state.gradients, state.loss, state.correct, state.faults}) {
    communicator.all_reduce_sum(sum);
  }

  StepResult result;
  result.loss = static_cast<double>(download_integers(backend, state.loss)[0]) * kSumStep;
  result.accuracy = static_cast<double>(download_integers(backend, state.correct)[0]) /
                    static_cast<double>(valid_labels);
  result.learning_rate = learning_rate(run.training(), step);
  result.gradient_norm = gradient_norm(state);
  result.tokens = samples_in_step * length;
  result.skipped = guard.judge({.step = step,
                                .loss = result.loss,
                                .gradient_norm = result.gradient_norm,
                                .faults = download_integers(backend, state.faults)});
  if (result.skipped) return result;

  const double scale = clip_scale(result.gradient_norm, run.training().clip_norm());
  state.optimizer->update({.step = step,
                           .rate = static_cast<float>(result.learning_rate),
                           .gradient_scale = static_cast<float>(scale),
                           .parameters = state.parameters,
                           .gradients = state.gradients});
  return result;
}

}  // namespace reformer
