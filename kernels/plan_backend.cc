#include "kernels/plan_backend.h"

#include <cstring>

namespace reformer {
namespace {

class PlanBackend final : public Backend {
 public:
  std::string description() const override { return "plan"; }
  std::string numeric_identity() const override { return "plan"; }

  bool computes() const override { return false; }
  std::unique_ptr<Backend> make_planner() const override { return make_plan_backend(); }

  std::unique_ptr<Arena> make_arena(size_t bytes) override {
    return std::make_unique<Arena>(nullptr, bytes);
  }

  void upload(const void*, const View&) override {}
  void download(const View& source, void* host) override {
    if (source.bytes() > 0) std::memset(host, 0, source.bytes());
  }
  void copy(const View&, const View&) override {}
  void fill_zero(const View&) override {}
  void synchronize() override {}

  void linear(const LinearArgs&) override {}
  void linear_backward_input(const LinearBackwardInputArgs&) override {}
  void linear_backward_weight(const LinearBackwardWeightArgs&) override {}

  void layer_norm(const LayerNormArgs&) override {}
  void layer_norm_backward(const LayerNormBackwardArgs&) override {}
  void activation(const ActivationArgs&) override {}
  void activation_backward(const ActivationBackwardArgs&) override {}
  void dropout(const DropoutArgs&) override {}
  void residual(const ResidualArgs&) override {}
  void join_streams(const JoinStreamsArgs&) override {}
  void split_streams(const SplitStreamsArgs&) override {}

  void embed(const EmbedArgs&) override {}
  void embed_backward(const EmbedBackwardArgs&) override {}
  void cross_entropy(const CrossEntropyArgs&) override {}

  void lsh_hash(const LshHashArgs&) override {}
  void bucket_sort(const BucketSortArgs&) override {}
  void attention(const AttentionArgs&) override {}
  void attention_backward(const AttentionBackwardArgs&) override {}
  void attend_cached(const AttendCachedArgs&) override {}
  int64_t slot_block() const override { return 1; }  // the CPU's
  void attention_part(const AttentionPartArgs&) override {}
  void attention_part_backward(const AttentionPartBackwardArgs&) override {}
  void combine_rounds(const CombineRoundsArgs&) override {}
  void combine_gradients(const CombineGradientsArgs&) override {}
  void head_products(const HeadProductsArgs&) override {}
  void gather_rows(const GatherRowsArgs&) override {}

  void sum_of_squares(const SumOfSquaresArgs&) override {}
  void adamw(const AdamWArgs&) override {}
  void adafactor(const AdafactorArgs&) override {}
};

}  // namespace

std::unique_ptr<Backend> make_plan_backend() {
  return std::make_unique<PlanBackend>();
}

}  // namespace reformer
