#include "trainer/step.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "comm/buckets.h"
#include "kernels/core/fixed_point.h"
#include "kernels/core/wide_sum.h"
#include "trainer/gradient_buckets.h"
#include "trainer/model/rotations.h"
#include "trainer/schedule.h"
#include "trainer/token_share.h"

namespace reformer {
namespace {

/// The part of the step's batch that one rank works on: its tokens of some of the sequences.
struct LocalBatch {
  int64_t first = 0;  // first sample, counted in the batch of the step
  std::vector<TokenBatch> micro_batches;
  int64_t valid_labels = 0;  // of this rank
};

LocalBatch read_batch(const config::Run& run, const Dataset& dataset, const RankGroups& ranks,
                      const DataRange& positions, int64_t step) {
  const Slice share = ranks.share_of_sequences(run.training().batch());
  LocalBatch local{.first = share.begin, .micro_batches = {}};
  const int64_t micro_batch = micro_batch_of(run.training());
  for (int64_t first = share.begin; first < share.end; first += micro_batch) {
    const int64_t samples = std::min(micro_batch, share.end - first);
    local.micro_batches.push_back(dataset.training_batch(step, first, samples, positions));
    local.valid_labels += local.micro_batches.back().valid_labels;
  }
  return local;
}

/// Sums over all ranks of what a step counts. Every bit is the same on any number of ranks.
struct StepTotals {
  double loss = 0;
  double correct = 0;
  double gradient_norm = 0;
  std::vector<int64_t> faults;
};

StepTotals total_over_ranks(const TrainingState& state, Communicator& world) {
  for (const Slice& slice : state.own_slices()) {
    if (slice.elements() == 0) continue;
    state.backend.sum_of_squares({.x = slice.of(state.gradients), .squares = state.squares});
  }
  Tensor sums(DType::kInt64, state.tallies.shape());
  state.backend.download(state.tallies, sums.view().raw());
  world.all_reduce_sum(sums.view(), "totals of the step");

  const int64_t* const values = sums.data<int64_t>();
  const auto of = [&](const View& tally) {  // where it is in the copy
    return values + (tally.data<int64_t>() - state.tallies.data<int64_t>());
  };
  WideSum::Words squares;
  std::copy_n(of(state.squares), WideSum::kWords, squares.begin());
  return {.loss = static_cast<double>(*of(state.loss)) * kSumStep,
          .correct = static_cast<double>(*of(state.correct)),
          .gradient_norm = std::sqrt(WideSum(squares).value()),
          .faults = {of(state.faults), of(state.faults) + state.faults.elements()}};
}

/// Factor that brings a gradient of norm `norm` down to `limit`; 1 if it is shorter, or limit is 0.
double clip_scale(double norm, double limit) {
  return limit > 0 && norm > limit ? limit / norm : 1.0;
}

}  // namespace

int64_t micro_batch_of(const config::Training& training) {
  return training.micro_batch() > 0 ? training.micro_batch() : training.batch();
}

StepResult train_step(const config::Run& run, const Dataset& dataset, const RankGroups& ranks,
                      TrainingState& state, SkipGuard& guard, int64_t step) {
  Backend& backend = state.backend;
  const int64_t length = run.data().length();
  const int64_t samples_in_step = run.training().batch();
  const int64_t leaves_per_sample = (length + state.spec.leaf_tokens - 1) / state.spec.leaf_tokens;

  const double waited_before = ranks.seconds_waited();
  const TokenShare share(ranks, length, state.spec.leaf_tokens);
  const LocalBatch local = read_batch(run, dataset, ranks, share.positions(), step);
  const int64_t valid_labels = ranks.world.sum(local.valid_labels, "valid labels");
  backend.fill_zero(state.gradients);
  backend.fill_zero(state.tallies);

  // Each part of the gradient is summed over the ranks while the backward pass goes on below it.
  BucketExchange reduction(BucketExchange::Kind::kReduce, ranks.world, state.buckets,
                           state.gradients);
  const std::vector<Tensor> rotations = make_rotations(state.spec, run.training().seed(), step);
  int64_t first_sample = local.first;
  for (const TokenBatch& batch : local.micro_batches) {
    const int64_t samples = batch.tokens.shape()[0];
    Arena::Mark mark(state.arena);
    const View tokens = state.upload_tokens(batch.tokens);
    const View labels = state.upload_tokens(batch.labels);
    const Pass pass{.backend = backend,
                    .arena = state.arena,
                    .spec = state.spec,
                    .layout = state.layout_of(first_sample, samples, share.positions()),
                    .sequence = share.sharers(),
                    .mask = {},
                    .rotations = rotations,
                    .seed = run.training().seed(),
                    .step = step,
                    .training = true,
                    .faults = state.faults,
                    .leaves_in_step = samples_in_step * leaves_per_sample,
                    .tokens_in_step = samples_in_step * length};
    const LossSums sums{.scale = 1.0 / static_cast<double>(valid_labels),
                        .loss = state.loss,
                        .correct = state.correct};
    const bool last = &batch == &local.micro_batches.back();
    state.model.accumulate_gradients(pass, tokens, labels, sums, state.gradients, [&](int part) {
      if (last) reduction.start(bucket_of_part(state.spec, part));
    });
    first_sample += samples;
  }
  reduction.finish();

  const StepTotals totals = total_over_ranks(state, ranks.world);
  StepResult result{.loss = totals.loss,
                    .accuracy = totals.correct / static_cast<double>(valid_labels),
                    .learning_rate = learning_rate(run.training(), step),
                    .gradient_norm = totals.gradient_norm,
                    .tokens = samples_in_step * length,
                    .seconds_waited = ranks.seconds_waited() - waited_before};
  // A function of sums over all ranks: all skip, or none does.
  result.skipped = guard.judge({.step = step,
                                .loss = totals.loss,
                                .gradient_norm = totals.gradient_norm,
                                .faults = totals.faults});
  if (result.skipped) return result;

  const double scale = clip_scale(totals.gradient_norm, run.training().clip_norm());
  const UpdateArgs update{.step = step,
                          .rate = static_cast<float>(result.learning_rate),
                          .gradient_scale = static_cast<float>(scale),
                          .parameters = state.parameters,
                          .gradients = state.gradients};
  BucketExchange gathering(BucketExchange::Kind::kGather, ranks.world, state.buckets,
                           state.parameters);
  for (size_t bucket = 0; bucket < state.buckets.size(); ++bucket) {
    state.optimizer->update_bucket(bucket, update);
    gathering.start(bucket);
  }
  gathering.finish();
  result.seconds_waited = ranks.seconds_waited() - waited_before;
  return result;
}

}  // namespace reformer
