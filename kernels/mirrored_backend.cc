#include "kernels/mirrored_backend.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "kernels/core/check.h"
#include "kernels/mirror.h"
#include "kernels/plan_backend.h"

namespace reformer {
namespace {

class MirroredBackend final : public Backend {
 public:
  MirroredBackend(std::unique_ptr<Backend> device, DType activation)
      : device_(std::move(device)), activation_(activation) {
    CHECK(device_->computes_in(activation));
  }

  std::string description() const override { return device_->description() + ", mirrored"; }
  std::string numeric_identity() const override {
    return fmt::format("{}/mirrored-{}", device_->numeric_identity(), name_of(activation_));
  }

  bool computes() const override { return device_->computes(); }
  int64_t slot_block() const override { return device_->slot_block(); }
  std::unique_ptr<Backend> make_planner() const override { return make_plan_backend(); }

  std::unique_ptr<Arena> make_arena(size_t bytes) override {
    void* const base = std::malloc(bytes == 0 ? 1 : bytes);
    CHECK(base != nullptr);
    return std::make_unique<Arena>(base, bytes, [base] { std::free(base); });
  }
  void upload(const void* host, const View& destination) override {
    if (destination.bytes() > 0) std::memcpy(destination.raw(), host, destination.bytes());
  }
  void download(const View& source, void* host) override {
    if (source.bytes() > 0) std::memcpy(host, source.raw(), source.bytes());
  }
  void copy(const View& source, const View& destination) override {
    if (source.bytes() > 0) std::memcpy(destination.raw(), source.raw(), source.bytes());
  }
  void fill_zero(const View& destination) override {
    if (destination.bytes() > 0) std::memset(destination.raw(), 0, destination.bytes());
  }
  void synchronize() override {}

  void linear(const LinearArgs& args) override {
    run(args, [&](Mirror& mirror, LinearArgs& on_device) {
      mirror.activation_in(on_device.x);
      mirror.in(on_device.weight);
      mirror.in(on_device.bias);
      mirror.activation_out(on_device.y);
      device_->linear(on_device);
    });
  }
  void linear_backward_input(const LinearBackwardInputArgs& args) override {
    run(args, [&](Mirror& mirror, LinearBackwardInputArgs& on_device) {
      mirror.activation_in(on_device.dy);
      mirror.in(on_device.weight);
      result(mirror, on_device.dx, args.accumulate);
      device_->linear_backward_input(on_device);
    });
  }
  void linear_backward_weight(const LinearBackwardWeightArgs& args) override {
    run(args, [&](Mirror& mirror, LinearBackwardWeightArgs& on_device) {
      mirror.activation_in(on_device.x);
      mirror.activation_in(on_device.dy);
      mirror.in_out(on_device.dweight);
      mirror.in_out(on_device.dbias);
      mirror.in(on_device.sum);
      device_->linear_backward_weight(on_device);
    });
  }

  void layer_norm(const LayerNormArgs& args) override {
    run(args, [&](Mirror& mirror, LayerNormArgs& on_device) {
      mirror.activation_in(on_device.x);
      mirror.in(on_device.gamma);
      mirror.in(on_device.beta);
      mirror.activation_out(on_device.y);
      device_->layer_norm(on_device);
    });
  }
  void layer_norm_backward(const LayerNormBackwardArgs& args) override {
    run(args, [&](Mirror& mirror, LayerNormBackwardArgs& on_device) {
      mirror.activation_in(on_device.x);
      mirror.in(on_device.gamma);
      mirror.activation_in(on_device.dy);
      if (args.x.dtype() == DType::kFixed32) {  // a stream, whose gradient is Float32
        args.accumulate ? mirror.in_out(on_device.dx) : mirror.out(on_device.dx);
      } else {
        result(mirror, on_device.dx, args.accumulate);
      }
      mirror.in_out(on_device.dgamma);
      mirror.in_out(on_device.dbeta);
      mirror.in(on_device.sum);
      device_->layer_norm_backward(on_device);
    });
  }
  void activation(const ActivationArgs& args) override {
    run(args, [&](Mirror& mirror, ActivationArgs& on_device) {
      mirror.activation_in(on_device.x);
      mirror.activation_out(on_device.y);
      device_->activation(on_device);
    });
  }
  void activation_backward(const ActivationBackwardArgs& args) override {
    run(args, [&](Mirror& mirror, ActivationBackwardArgs& on_device) {
      mirror.activation_in(on_device.x);
      mirror.activation_in(on_device.dy);
      mirror.activation_out(on_device.dx);
      device_->activation_backward(on_device);
    });
  }
  void dropout(const DropoutArgs& args) override {
    run(args, [&](Mirror& mirror, DropoutArgs& on_device) {
      mirror.activation_in(on_device.x);
      mirror.activation_out(on_device.y);
      device_->dropout(on_device);
    });
  }
  void residual(const ResidualArgs& args) override {
    run(args, [&](Mirror& mirror, ResidualArgs& on_device) {
      mirror.in_out(on_device.stream);
      mirror.activation_in(on_device.f);
      mirror.in_out(on_device.faults);
      device_->residual(on_device);
    });
  }
  void join_streams(const JoinStreamsArgs& args) override {
    run(args, [&](Mirror& mirror, JoinStreamsArgs& on_device) {
      mirror.in(on_device.x1);
      mirror.in(on_device.x2);
      mirror.activation_out(on_device.joined);
      device_->join_streams(on_device);
    });
  }
  void split_streams(const SplitStreamsArgs& args) override {
    run(args, [&](Mirror& mirror, SplitStreamsArgs& on_device) {
      mirror.activation_in(on_device.djoined);
      mirror.out(on_device.dx1);
      mirror.out(on_device.dx2);
      device_->split_streams(on_device);
    });
  }

  void embed(const EmbedArgs& args) override {
    run(args, [&](Mirror& mirror, EmbedArgs& on_device) {
      std::vector<View> axes(args.axes.begin(), args.axes.end());
      mirror.in(on_device.tokens);
      mirror.in(on_device.table);
      for (View& axis : axes) mirror.in(axis);
      on_device.axes = axes;
      mirror.out(on_device.y);
      device_->embed(on_device);
    });
  }
  void embed_backward(const EmbedBackwardArgs& args) override {
    run(args, [&](Mirror& mirror, EmbedBackwardArgs& on_device) {
      std::vector<View> daxes(args.daxes.begin(), args.daxes.end());
      mirror.in(on_device.tokens);
      mirror.in(on_device.dy);
      mirror.in_out(on_device.dtable);
      for (View& axis : daxes) mirror.in_out(axis);
      on_device.daxes = daxes;
      mirror.in(on_device.sum);
      device_->embed_backward(on_device);
    });
  }
  void cross_entropy(const CrossEntropyArgs& args) override {
    run(args, [&](Mirror& mirror, CrossEntropyArgs& on_device) {
      args.gradient ? mirror.in_out(on_device.logits) : mirror.in(on_device.logits);
      mirror.in(on_device.labels);
      mirror.in_out(on_device.loss);
      mirror.in_out(on_device.correct);
      mirror.in(on_device.sum);
      device_->cross_entropy(on_device);
    });
  }

  void lsh_hash(const LshHashArgs& args) override {
    run(args, [&](Mirror& mirror, LshHashArgs& on_device) {
      mirror.activation_in(on_device.query_key);
      mirror.in(on_device.rotations);
      mirror.in(on_device.mask);
      mirror.out(on_device.bucket_of);
      device_->lsh_hash(on_device);
    });
  }
  void bucket_sort(const BucketSortArgs& args) override {
    run(args, [&](Mirror& mirror, BucketSortArgs& on_device) {
      mirror.in(on_device.bucket_of);
      mirror.out(on_device.order);
      mirror.out(on_device.bucket_begin);
      device_->bucket_sort(on_device);
    });
  }
  void attention(const AttentionArgs& args) override {
    run(args, [&](Mirror& mirror, AttentionArgs& on_device) {
      attention_inputs(mirror, on_device);
      mirror.activation_out(on_device.out);
      mirror.out(on_device.lse);
      device_->attention(on_device);
    });
  }
  void attention_backward(const AttentionBackwardArgs& args) override {
    run(args, [&](Mirror& mirror, AttentionBackwardArgs& on_device) {
      attention_inputs(mirror, on_device.forward);
      mirror.activation_in(on_device.forward.out);
      mirror.in(on_device.forward.lse);
      mirror.activation_in(on_device.dout);
      mirror.activation_out(on_device.dquery);
      mirror.activation_out(on_device.dkey);
      mirror.activation_out(on_device.dvalue);
      device_->attention_backward(on_device);
    });
  }
  void attend_cached(const AttendCachedArgs& args) override {
    run(args, [&](Mirror& mirror, AttendCachedArgs& on_device) {
      mirror.activation_in(on_device.query);
      mirror.activation_in(on_device.value);
      mirror.activation_in(on_device.keys);
      mirror.activation_in(on_device.values);
      mirror.in(on_device.sequence);
      mirror.in(on_device.seen);
      mirror.in(on_device.seen_count);
      mirror.activation_out(on_device.out);
      device_->attend_cached(on_device);
    });
  }
  void attention_part(const AttentionPartArgs& args) override {
    run(args, [&](Mirror& mirror, AttentionPartArgs& on_device) {
      attention_inputs(mirror, on_device);
      mirror.out(on_device.sums);
      mirror.out(on_device.weights);
      device_->attention_part(on_device);
    });
  }
  void attention_part_backward(const AttentionPartBackwardArgs& args) override {
    run(args, [&](Mirror& mirror, AttentionPartBackwardArgs& on_device) {
      attention_inputs(mirror, on_device.forward);
      mirror.activation_in(on_device.dout);
      mirror.in(on_device.lse);
      mirror.in(on_device.delta);
      mirror.out(on_device.dquery);
      mirror.out(on_device.dkey);
      mirror.out(on_device.dvalue);
      device_->attention_part_backward(on_device);
    });
  }
  void combine_rounds(const CombineRoundsArgs& args) override {
    run(args, [&](Mirror& mirror, CombineRoundsArgs& on_device) {
      mirror.in(on_device.row);
      mirror.in(on_device.sums);
      mirror.in(on_device.weights);
      mirror.activation_in(on_device.value);
      mirror.in(on_device.mask);
      mirror.activation_out(on_device.out);
      mirror.out(on_device.lse);
      device_->combine_rounds(on_device);
    });
  }
  void combine_gradients(const CombineGradientsArgs& args) override {
    run(args, [&](Mirror& mirror, CombineGradientsArgs& on_device) {
      mirror.in(on_device.row);
      mirror.in(on_device.query_parts);
      mirror.in(on_device.key_parts);
      mirror.in(on_device.value_parts);
      mirror.activation_in(on_device.dout);
      mirror.in(on_device.lse);
      mirror.activation_out(on_device.dquery);
      mirror.activation_out(on_device.dkey);
      mirror.activation_out(on_device.dvalue);
      device_->combine_gradients(on_device);
    });
  }
  void head_products(const HeadProductsArgs& args) override {
    run(args, [&](Mirror& mirror, HeadProductsArgs& on_device) {
      mirror.activation_in(on_device.a);
      mirror.activation_in(on_device.b);
      mirror.out(on_device.products);
      device_->head_products(on_device);
    });
  }
  void gather_rows(const GatherRowsArgs& args) override {
    run(args, [&](Mirror& mirror, GatherRowsArgs& on_device) {
      mirror.in(on_device.x);
      mirror.in(on_device.index);
      mirror.out(on_device.y);
      device_->gather_rows(on_device);
    });
  }

  void sum_of_squares(const SumOfSquaresArgs& args) override {
    run(args, [&](Mirror& mirror, SumOfSquaresArgs& on_device) {
      mirror.in(on_device.x);
      mirror.in_out(on_device.squares);
      device_->sum_of_squares(on_device);
    });
  }
  void adamw(const AdamWArgs& args) override {
    run(args, [&](Mirror& mirror, AdamWArgs& on_device) {
      mirror.in_out(on_device.parameter);
      mirror.in(on_device.gradient);
      mirror.in_out(on_device.m);
      mirror.in_out(on_device.v);
      device_->adamw(on_device);
    });
  }
  void adafactor(const AdafactorArgs& args) override {
    run(args, [&](Mirror& mirror, AdafactorArgs& on_device) {
      mirror.in_out(on_device.parameter);
      mirror.in(on_device.gradient);
      mirror.in_out(on_device.row);
      mirror.in_out(on_device.column);
      mirror.scratch(on_device.update);
      device_->adafactor(on_device);
    });
  }

 private:
  /// Calls body(mirror, args of the device), which mirrors the views and runs the op.
  template <typename Args, typename Body>
  void run(const Args& args, const Body& body) {
    Args on_device = args;
    Mirror mirror(*device_, activation_);
    body(mirror, on_device);
    mirror.finish();
  }

  static void result(Mirror& mirror, View& view, bool accumulates) {
    accumulates ? mirror.activation_in_out(view) : mirror.activation_out(view);
  }

  static void attention_inputs(Mirror& mirror, AttentionArgs& args) {
    mirror.activation_in(args.query);
    mirror.activation_in(args.key);
    mirror.activation_in(args.value);
    mirror.in(args.order);
    mirror.in(args.bucket_begin);
    mirror.in(args.mask);
  }

  static void attention_inputs(Mirror& mirror, AttentionPartArgs& args) {
    mirror.activation_in(args.query);
    mirror.activation_in(args.key);
    mirror.activation_in(args.value);
    mirror.in(args.position);
    mirror.in(args.row);
    mirror.in(args.bucket_begin);
    mirror.in(args.slot_in);
  }

  std::unique_ptr<Backend> device_;
  DType activation_;
};

}  // namespace

std::unique_ptr<Backend> make_mirrored_backend(std::unique_ptr<Backend> device, DType activation) {
  return std::make_unique<MirroredBackend>(std::move(device), activation);
}

}  // namespace reformer
