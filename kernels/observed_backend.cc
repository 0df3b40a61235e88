#include "kernels/observed_backend.h"

#include <utility>

namespace reformer {
namespace {

class ObservedBackend final : public Backend {
 public:
  ObservedBackend(Backend& real, OpObserver observer)
      : real_(real), observer_(std::move(observer)) {}

  std::string description() const override { return real_.description(); }
  std::string numeric_identity() const override { return real_.numeric_identity(); }
  bool computes() const override { return real_.computes(); }
  bool computes_in(DType dtype) const override { return real_.computes_in(dtype); }
  int64_t slot_block() const override { return real_.slot_block(); }
  std::optional<DevicePeaks> peaks() const override { return real_.peaks(); }
  void* stream() const override { return real_.stream(); }
  std::unique_ptr<Backend> make_planner() const override { return real_.make_planner(); }
  size_t workspace_peak() const override { return real_.workspace_peak(); }
  void reserve_workspace(size_t bytes) override { real_.reserve_workspace(bytes); }
  std::optional<size_t> free_device_memory() const override { return real_.free_device_memory(); }
  std::unique_ptr<Arena> make_arena(size_t bytes) override { return real_.make_arena(bytes); }
  void upload(const void* host, const View& to) override { real_.upload(host, to); }
  void download(const View& from, void* host) override { real_.download(from, host); }
  void synchronize() override { real_.synchronize(); }

  void copy(const View& from, const View& to) override {
    const OpCost cost{.bytes = 2 * static_cast<double>(to.bytes())};
    observer_("copy", cost, [&] { real_.copy(from, to); });
  }
  void fill_zero(const View& to) override {
    const OpCost cost{.bytes = static_cast<double>(to.bytes())};
    observer_("fill_zero", cost, [&] { real_.fill_zero(to); });
  }

  void linear(const LinearArgs& args) override {
    observer_("linear", cost_of(args), [&] { real_.linear(args); });
  }
  void linear_backward_input(const LinearBackwardInputArgs& args) override {
    observer_("linear_backward_input", cost_of(args), [&] { real_.linear_backward_input(args); });
  }
  void linear_backward_weight(const LinearBackwardWeightArgs& args) override {
    observer_("linear_backward_weight", cost_of(args), [&] { real_.linear_backward_weight(args); });
  }
  void layer_norm(const LayerNormArgs& args) override {
    observer_("layer_norm", cost_of(args), [&] { real_.layer_norm(args); });
  }
  void layer_norm_backward(const LayerNormBackwardArgs& args) override {
    observer_("layer_norm_backward", cost_of(args), [&] { real_.layer_norm_backward(args); });
  }
  void activation(const ActivationArgs& args) override {
    observer_("activation", cost_of(args), [&] { real_.activation(args); });
  }
  void activation_backward(const ActivationBackwardArgs& args) override {
    observer_("activation_backward", cost_of(args), [&] { real_.activation_backward(args); });
  }
  void dropout(const DropoutArgs& args) override {
    observer_("dropout", cost_of(args), [&] { real_.dropout(args); });
  }
  void residual(const ResidualArgs& args) override {
    observer_("residual", cost_of(args), [&] { real_.residual(args); });
  }
  void join_streams(const JoinStreamsArgs& args) override {
    observer_("join_streams", cost_of(args), [&] { real_.join_streams(args); });
  }
  void split_streams(const SplitStreamsArgs& args) override {
    observer_("split_streams", cost_of(args), [&] { real_.split_streams(args); });
  }
  void embed(const EmbedArgs& args) override {
    observer_("embed", cost_of(args), [&] { real_.embed(args); });
  }
  void embed_backward(const EmbedBackwardArgs& args) override {
    observer_("embed_backward", cost_of(args), [&] { real_.embed_backward(args); });
  }
  void cross_entropy(const CrossEntropyArgs& args) override {
    observer_("cross_entropy", cost_of(args), [&] { real_.cross_entropy(args); });
  }
  void lsh_hash(const LshHashArgs& args) override {
    observer_("lsh_hash", cost_of(args), [&] { real_.lsh_hash(args); });
  }
  void bucket_sort(const BucketSortArgs& args) override {
    observer_("bucket_sort", cost_of(args), [&] { real_.bucket_sort(args); });
  }
  void attention(const AttentionArgs& args) override {
    observer_("attention", cost_of(args), [&] { real_.attention(args); });
  }
  void attention_backward(const AttentionBackwardArgs& args) override {
    observer_("attention_backward", cost_of(args), [&] { real_.attention_backward(args); });
  }
  void attend_cached(const AttendCachedArgs& args) override {
    observer_("attend_cached", cost_of(args), [&] { real_.attend_cached(args); });
  }
  void attention_part(const AttentionPartArgs& args) override {
    observer_("attention_part", cost_of(args), [&] { real_.attention_part(args); });
  }
  void attention_part_backward(const AttentionPartBackwardArgs& args) override {
    observer_("attention_part_backward", cost_of(args),
              [&] { real_.attention_part_backward(args); });
  }
  void combine_rounds(const CombineRoundsArgs& args) override {
    observer_("combine_rounds", cost_of(args), [&] { real_.combine_rounds(args); });
  }
  void combine_gradients(const CombineGradientsArgs& args) override {
    observer_("combine_gradients", cost_of(args), [&] { real_.combine_gradients(args); });
  }
  void head_products(const HeadProductsArgs& args) override {
    observer_("head_products", cost_of(args), [&] { real_.head_products(args); });
  }
  void gather_rows(const GatherRowsArgs& args) override {
    observer_("gather_rows", cost_of(args), [&] { real_.gather_rows(args); });
  }
  void sum_of_squares(const SumOfSquaresArgs& args) override {
    observer_("sum_of_squares", cost_of(args), [&] { real_.sum_of_squares(args); });
  }
  void adamw(const AdamWArgs& args) override {
    observer_("adamw", cost_of(args), [&] { real_.adamw(args); });
  }
  void adafactor(const AdafactorArgs& args) override {
    observer_("adafactor", cost_of(args), [&] { real_.adafactor(args); });
  }

 private:
  Backend& real_;
  OpObserver observer_;
};

}  // namespace

std::unique_ptr<Backend> make_observed_backend(Backend& backend, OpObserver observer) {
  return std::make_unique<ObservedBackend>(backend, std::move(observer));
}

}  // namespace reformer
