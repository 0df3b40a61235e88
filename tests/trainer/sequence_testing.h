// A step of a small model on sequences that ranks share, here threads.
#pragma once

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "comm/rank_groups.h"
#include "comm/self.h"
#include "comm/threads.h"
#include "tests/trainer/model_testing.h"
#include "trainer/evaluation/lsh_health.h"

namespace reformer::testing {

/// What a step or an evaluation ends with, summed over ranks.
struct SequenceOutcome {
  Tensor gradients;
  std::array<int64_t, 3> sums{};  // loss, correct, faults
  std::vector<HeadHealth> health;
};

/// One batch of a model, on one rank or on several that share its sequences.
class SequenceProblem {
 public:
  SequenceProblem(ModelSpec spec, int64_t length)
      : spec_(std::move(spec)), length_(length), batch_(spec_, kSequences, length, 5) {}

  void mask_some_tokens() {
    mask_ = Tensor(DType::kUint8, {kSequences, length_});
    Random random(8);
    for (int64_t i = 0; i < mask_.elements(); ++i) {
      mask_.data<uint8_t>()[i] = random.chance(0.8) ? 1 : 0;
    }
  }

  /// Shared by `ranks`, of which `head_size` share the heads of neighbours.
  SequenceOutcome step(int ranks, int head_size) const {
    return run(ranks, head_size, /*training=*/true);
  }
  SequenceOutcome evaluate(int ranks, int head_size) const {
    return run(ranks, head_size, /*training=*/false);
  }

  /// The part of one rank. `sequence`: null if it has everything.
  SequenceOutcome run_rank(Communicator& world, const SequenceGroup* sequence,
                           bool training) const {
    TestModel model(spec_);
    const Slice own = sequence == nullptr ? Slice{0, length_} : sequence->own_tokens();
    Pass pass = model.pass(kSequences, own.elements(), training);
    pass.layout.first_position = own.begin;
    pass.sequence = sequence;
    const Tensor mask = part_of(mask_, own);
    pass.mask = mask.view();
    const Tensor tokens = part_of(batch_.tokens, own);
    const Tensor labels = part_of(batch_.labels, own);
    const LossSums sums{.scale = 1.0 / static_cast<double>(kSequences * length_),
                        .loss = model.loss.view(),
                        .correct = model.correct.view()};
    const Reformer reformer(spec_, model.parameters.view());
    SequenceOutcome outcome;
    if (training) {
      reformer.accumulate_gradients(pass, tokens.view(), labels.view(), sums,
                                    model.gradients.view());
    } else {
      LshHealth health(spec_, 8, 2);
      reformer.evaluate(
          pass, tokens.view(), labels.view(), sums,
          [&](const ObservedAttention& observed) { health.observe(*model.backend, observed); });
      outcome.health = health.result(world);
    }
    world.all_reduce_sum(model.gradients.view(), "gradients");
    outcome.gradients = std::move(model.gradients);
    outcome.sums = {model.loss.data<int64_t>()[0], model.correct.data<int64_t>()[0],
                    model.fault_count()};
    world.all_reduce_sum(View(outcome.sums.data(), DType::kInt64, {3}), "sums");
    return outcome;
  }

  int64_t leaf() const { return spec_.leaf_tokens; }
  int64_t length() const { return length_; }

 private:
  static constexpr int64_t kSequences = 2;

  SequenceOutcome run(int ranks, int head_size, bool training) const {
    if (ranks == 1) {
      SelfCommunicator alone;
      return run_rank(alone, nullptr, training);
    }
    SequenceOutcome of_rank_0;
    run_as_threads(ranks, [&](Communicator& world) {
      const RankGroups groups =
          split_by_mesh(world, make_mesh(world.rank(), ranks, ranks, head_size));
      const SequenceGroup sequence(groups, length_, leaf());
      SequenceOutcome outcome = run_rank(world, &sequence, training);
      if (world.rank() == 0) of_rank_0 = std::move(outcome);
    });
    return of_rank_0;
  }

  /// Of [samples, T], or nothing.
  Tensor part_of(const Tensor& all, Slice own) const {
    if (!all.view().defined()) return {};
    Tensor part(all.view().dtype(), all.shape().rank() == 1 ? Shape{kSequences * own.elements()}
                                                            : Shape{kSequences, own.elements()});
    const View from = all.view().reshape({kSequences * length_});
    for (int64_t sample = 0; sample < kSequences; ++sample) {
      const View rows = from.rows(sample * length_ + own.begin, sample * length_ + own.end);
      std::memcpy(part.view()
                      .reshape({kSequences * own.elements()})
                      .rows(sample * own.elements(), (sample + 1) * own.elements())
                      .raw(),
                  rows.raw(), rows.bytes());
    }
    return part;
  }

  ModelSpec spec_;
  int64_t length_;
  TestBatch batch_;
  Tensor mask_;
};

}  // namespace reformer::testing
