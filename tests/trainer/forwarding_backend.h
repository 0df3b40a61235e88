// A backend that hands every call to another one. Tests derive from it to plant a fault.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "kernels/backend.h"

namespace reformer::testing {

class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(std::unique_ptr<Backend> real) : real_(std::move(real)) {}

  std::string description() const override { return real_->description(); }
  std::string numeric_identity() const override { return real_->numeric_identity(); }
  bool computes() const override { return real_->computes(); }
  int64_t slot_block() const override { return real_->slot_block(); }
  std::unique_ptr<Backend> make_planner() const override { return real_->make_planner(); }
  std::unique_ptr<Arena> make_arena(size_t bytes) override { return real_->make_arena(bytes); }

  void upload(const void* host, const View& to) override { real_->upload(host, to); }
  void download(const View& from, void* host) override { real_->download(from, host); }
  void copy(const View& from, const View& to) override { real_->copy(from, to); }
  void fill_zero(const View& to) override { real_->fill_zero(to); }
  void synchronize() override { real_->synchronize(); }

  void linear(const LinearArgs& args) override { real_->linear(args); }
  void linear_backward_input(const LinearBackwardInputArgs& args) override {
    real_->linear_backward_input(args);
  }
  void linear_backward_weight(const LinearBackwardWeightArgs& args) override {
    real_->linear_backward_weight(args);
  }
  void layer_norm(const LayerNormArgs& args) override { real_->layer_norm(args); }
  void layer_norm_backward(const LayerNormBackwardArgs& args) override {
    real_->layer_norm_backward(args);
  }
  void activation(const ActivationArgs& args) override { real_->activation(args); }
  void activation_backward(const ActivationBackwardArgs& args) override {
    real_->activation_backward(args);
  }
  void dropout(const DropoutArgs& args) override { real_->dropout(args); }
  void residual(const ResidualArgs& args) override { real_->residual(args); }
  void join_streams(const JoinStreamsArgs& args) override { real_->join_streams(args); }
  void split_streams(const SplitStreamsArgs& args) override { real_->split_streams(args); }
  void embed(const EmbedArgs& args) override { real_->embed(args); }
  void embed_backward(const EmbedBackwardArgs& args) override { real_->embed_backward(args); }
  void cross_entropy(const CrossEntropyArgs& args) override { real_->cross_entropy(args); }
  void lsh_hash(const LshHashArgs& args) override { real_->lsh_hash(args); }
  void bucket_sort(const BucketSortArgs& args) override { real_->bucket_sort(args); }
  void attention(const AttentionArgs& args) override { real_->attention(args); }
  void attention_backward(const AttentionBackwardArgs& args) override {
    real_->attention_backward(args);
  }
  void attend_cached(const AttendCachedArgs& args) override { real_->attend_cached(args); }
  void attention_part(const AttentionPartArgs& args) override { real_->attention_part(args); }
  void attention_part_backward(const AttentionPartBackwardArgs& args) override {
    real_->attention_part_backward(args);
  }
  void combine_rounds(const CombineRoundsArgs& args) override { real_->combine_rounds(args); }
  void combine_gradients(const CombineGradientsArgs& args) override {
    real_->combine_gradients(args);
  }
  void head_products(const HeadProductsArgs& args) override { real_->head_products(args); }
  void gather_rows(const GatherRowsArgs& args) override { real_->gather_rows(args); }
  void sum_of_squares(const SumOfSquaresArgs& args) override { real_->sum_of_squares(args); }
  void adamw(const AdamWArgs& args) override { real_->adamw(args); }
  void adafactor(const AdafactorArgs& args) override { real_->adafactor(args); }

 private:
  std::unique_ptr<Backend> real_;
};

}  // namespace reformer::testing
