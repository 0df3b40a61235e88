// What only views on the device show: activations of two dtypes in one call, views that begin
// anywhere, and the workspace that a plan counts.
#include <functional>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/core/bfloat16.h"
#include "kernels/cuda/cuda_backend.h"
#include "tests/kernels/op_testing.h"
#include "tests/kernels/row_testing.h"
#include "tests/reference/gemm.h"
#include "tests/reference/pointwise.h"

namespace reformer {
namespace {

using reference::Matrix;
using testing::Doubles;
using testing::floats;
using testing::layout_of;
using testing::Random;
using testing::relative_error;
using testing::same_bits;
using testing::to_doubles;

constexpr double kTolerance = 5e-6;
constexpr double kBFloat16Tolerance = 4e-3;

/// Memory of a backend, with every view `offset` elements behind 256 bytes.
class DeviceViews {
 public:
  DeviceViews(Backend& backend, int64_t offset)
      : backend_(backend), offset_(offset), arena_(backend.make_arena(size_t{8} << 20)) {}

  /// Elements that are not set.
  View make(DType dtype, const Shape& shape) {
    const View block = arena_->allocate(dtype, {shape.elements() + offset_}, MemoryUse::kBlock);
    return block.rows(offset_, offset_ + shape.elements()).reshape(shape);
  }
  View zeros(DType dtype, const Shape& shape) {
    const View view = make(dtype, shape);
    backend_.fill_zero(view);
    return view;
  }
  /// A copy of a host tensor; a Float32 one may become BFloat16.
  View copy(const Tensor& tensor, DType dtype) {
    const View view = make(dtype, tensor.shape());
    if (dtype == tensor.view().dtype()) {
      backend_.upload(tensor.view().raw(), view);
      return view;
    }
    std::vector<BFloat16> rounded(static_cast<size_t>(tensor.elements()));
    std::transform(tensor.data<float>(), tensor.data<float>() + tensor.elements(), rounded.begin(),
                   to_bfloat16);
    backend_.upload(rounded.data(), view);
    backend_.synchronize();
    return view;
  }
  View copy(const Tensor& tensor) { return copy(tensor, tensor.view().dtype()); }
  GradientSum sum() { return {.limit = 0x1p50, .faults = zeros(DType::kInt64, {kFaultKinds})}; }

  /// A host tensor with the elements of a view; BFloat16 becomes Float32.
  Tensor read(const View& view) {
    if (view.dtype() != DType::kBFloat16) {
      Tensor tensor(view.dtype(), view.shape());
      backend_.download(view, tensor.view().raw());
      return tensor;
    }
    std::vector<BFloat16> values(static_cast<size_t>(view.elements()));
    backend_.download(view, values.data());
    Tensor tensor = floats(view.shape());
    std::transform(values.begin(), values.end(), tensor.data<float>(), to_float);
    return tensor;
  }

 private:
  Backend& backend_;
  int64_t offset_;
  std::unique_ptr<Arena> arena_;
};

/// What BFloat16 makes of a tensor.
Tensor rounded(const Tensor& tensor) {
  Tensor result = testing::copy_of(tensor);
  for (int64_t i = 0; i < result.elements(); ++i) {
    result.data<float>()[i] = to_float(to_bfloat16(result.data<float>()[i]));
  }
  return result;
}

Matrix to_matrix(const Tensor& tensor) {
  return {static_cast<size_t>(tensor.shape()[0]), static_cast<size_t>(tensor.shape()[1]),
          to_doubles(tensor)};
}

class CudaViewsTest : public ::testing::Test {
 protected:
  Tensor read(const View& view) { return views_.read(view); }

  std::unique_ptr<Backend> backend_ = make_cuda_backend();
  DeviceViews views_{*backend_, 0};
  Random random_{31};
};

TEST_F(CudaViewsTest, LinearRoundsItsWeightAndKeepsFloat32Results) {
  const Tensor x = random_.normal({6, 24});
  const Tensor weight = random_.normal({24, 17});
  const Tensor bias = random_.normal({17});
  const View y = views_.make(DType::kFloat32, {6, 17});
  backend_->linear({.layout = layout_of(2, 3),
                    .x = views_.copy(x, DType::kBFloat16),
                    .weight = views_.copy(weight),
                    .bias = views_.copy(bias),
                    .y = y});
  const Matrix expected =
      reference::linear(to_matrix(rounded(x)), to_matrix(rounded(weight)), to_doubles(bias));
  EXPECT_LT(relative_error(to_doubles(read(y)), expected.values), kTolerance);
}

TEST_F(CudaViewsTest, LinearBackwardInputRoundsAFloat32Gradient) {
  const Tensor dy = random_.normal({6, 17});
  const Tensor weight = random_.normal({24, 17});
  const View dx = views_.make(DType::kBFloat16, {6, 24});
  backend_->linear_backward_input(
      {.layout = layout_of(2, 3), .dy = views_.copy(dy), .weight = views_.copy(weight), .dx = dx});
  const Matrix expected =
      reference::linear_backward_input(to_matrix(rounded(dy)), to_matrix(rounded(weight)));
  EXPECT_LT(relative_error(to_doubles(read(dx)), expected.values), kBFloat16Tolerance);
}

TEST_F(CudaViewsTest, WeightGradientsRoundDyAndBiasGradientsDoNot) {
  const Tensor x = random_.normal({38, 24});
  const Tensor dy = random_.normal({38, 17});
  const View dweight = views_.zeros(DType::kInt64, {24, 17});
  const View dbias = views_.zeros(DType::kInt64, {17});
  backend_->linear_backward_weight({.layout = layout_of(2, 19),
                                    .x = views_.copy(x, DType::kBFloat16),
                                    .dy = views_.copy(dy),
                                    .dweight = dweight,
                                    .dbias = dbias,
                                    .sum = views_.sum()});
  const Matrix expected =
      reference::linear_backward_weight(to_matrix(rounded(x)), to_matrix(rounded(dy)));
  EXPECT_LT(relative_error(to_doubles(read(dweight)), expected.values), kTolerance);
  EXPECT_LT(relative_error(to_doubles(read(dbias)), reference::linear_backward_bias(to_matrix(dy))),
            kTolerance);
}

TEST_F(CudaViewsTest, AFloat32StreamGivesBFloat16AndGetsAFloat32Gradient) {
  for (const int64_t width : {40, 2048}) {
    const Tensor x = random_.normal({5, width});
    const Tensor ones = floats({width});
    std::fill_n(ones.data<float>(), width, 1.0f);
    const Tensor dy = rounded(random_.normal({5, width}));
    const View stream = views_.copy(x);
    const View gamma = views_.copy(ones);
    const View beta = views_.zeros(DType::kFloat32, {width});
    const View y = views_.make(DType::kBFloat16, {5, width});
    backend_->layer_norm({.x = stream, .gamma = gamma, .beta = beta, .y = y});
    const Doubles expected = reference::layer_norm(to_doubles(x), to_doubles(ones),
                                                   Doubles(static_cast<size_t>(width)), 1e-5);
    EXPECT_LT(relative_error(to_doubles(read(y)), expected), kBFloat16Tolerance);

    const auto backward = [&](DType dtype) {
      const View dx = views_.make(DType::kFloat32, {5, width});
      backend_->layer_norm_backward({.layout = layout_of(1, 5),
                                     .x = stream,
                                     .gamma = gamma,
                                     .dy = views_.copy(dy, dtype),
                                     .dx = dx,
                                     .dgamma = views_.zeros(DType::kInt64, {width}),
                                     .dbeta = views_.zeros(DType::kInt64, {width}),
                                     .sum = views_.sum()});
      return to_doubles(read(dx));
    };
    EXPECT_LT(relative_error(backward(DType::kBFloat16), backward(DType::kFloat32)), kTolerance);
  }
}

TEST_F(CudaViewsTest, DropoutTakesAFloat32GradientIntoABFloat16Block) {
  const testing::Case c{layout_of(2, 9), 37};
  const Dropout dropout{.rate = 0.3f, .key = {.lo = 3, .hi = 4}};
  const Tensor x = random_.normal(c.shape());
  const View y = views_.make(DType::kBFloat16, c.shape());
  backend_->dropout({c.layout, dropout, views_.copy(x), y});
  const Doubles factors = reference::dropout_factors(c.layout, dropout, c.width);
  const Tensor actual = read(y);
  for (int64_t i = 0; i < x.elements(); ++i) {
    const float scaled = x.data<float>()[i] * dropout.scale();
    ASSERT_EQ(actual.data<float>()[i],
              factors[static_cast<size_t>(i)] > 0 ? to_float(to_bfloat16(scaled)) : 0.0f);
  }
}

// ---- every op ----------------------------------------------------------------------------------

/// Runs ops on `backend` with views at an offset, and keeps their results.
class EveryOp {
 public:
  EveryOp(Backend& backend, DType activation, int64_t offset)
      : backend_(backend), activation_(activation), views_(backend, offset) {}

  void products() {
    const View x = input({kRows, kWidth});
    const View dy = input({kRows, kOut});
    const View weight = parameter({kWidth, kOut});
    backend_.linear({layout_, x, weight, parameter({kOut}), output({kRows, kOut})});
    backend_.linear_backward_input({layout_, dy, weight, output({kRows, kWidth})});
    backend_.linear_backward_weight(
        {layout_, x, dy, gradient({kWidth, kOut}), gradient({kOut}), views_.sum()});
  }

  void rows() {
    const Shape shape{kRows, kWidth};
    const View x = input(shape);
    const View dy = input(shape);
    const View gamma = parameter({kWidth});
    const View stream = result(DType::kFixed32, shape);
    const View faults = result(DType::kInt64, {kFaultKinds});
    backend_.residual({layout_, stream, x, false, kDropout, faults});
    backend_.residual({layout_, result(DType::kFloat32, shape), x, true, {}, faults});
    backend_.layer_norm({stream, gamma, gamma, 1e-5f, output(shape)});
    backend_.layer_norm_backward({layout_, stream, gamma, 1e-5f, dy, result(DType::kFloat32, shape),
                                  true, gradient({kWidth}), gradient({kWidth}), views_.sum()});
    backend_.activation({layout_, Activation::kGelu, kDropout, x, output(shape)});
    backend_.activation_backward({layout_, Activation::kGelu, {}, x, dy, output(shape)});
    backend_.dropout({layout_, kDropout, x, output(shape)});
    const View joined = output({kRows, 2 * kWidth});
    backend_.join_streams({stream, stream, joined});
    backend_.split_streams(
        {joined, result(DType::kFloat32, shape), result(DType::kFloat32, shape)});
  }

  void tokens() {
    constexpr int64_t kVocabulary = 12;
    const View tokens = views_.copy(random_.integers({kRows}, 0, kVocabulary - 1));
    const View y = result(DType::kFloat32, {kRows, kWidth});
    const View axes[] = {parameter({8, 16}), parameter({8, kWidth - 16})};
    backend_.embed({layout_, tokens, parameter({kVocabulary, kWidth}), axes, y});
    for (const DType sums : {DType::kInt64, DType::kFloat32}) {
      const View daxes[] = {result(sums, {8, 16}), result(sums, {8, kWidth - 16})};
      backend_.embed_backward(
          {layout_, tokens, y, result(sums, {kVocabulary, kWidth}), daxes, views_.sum()});
    }
    backend_.cross_entropy({y, tokens, 0.1, true, result(DType::kInt64, {1}),
                            result(DType::kInt64, {1}), views_.sum()});
  }

  void updates() {
    const View exact = gradient({kRows, kWidth});
    backend_.linear_backward_weight(
        {layout_of(1, 4), input({4, kRows}), input({4, kWidth}), exact, {}, views_.sum()});
    const int64_t n = kRows * kWidth;
    for (const View& of_matrix : {exact, parameter({kRows, kWidth})}) {
      const View g = of_matrix.reshape({n});
      backend_.sum_of_squares({g, result(DType::kInt64, {9})});
      backend_.adamw({.parameter = result(DType::kFloat32, {n}),
                      .gradient = g,
                      .m = result(DType::kFloat32, {n}),
                      .v = result(DType::kFloat32, {n}),
                      .rate = 0.1f});
      backend_.adafactor({.parameter = result(DType::kFloat32, {kRows, kWidth}),
                          .gradient = of_matrix,
                          .row = result(DType::kFloat32, {kRows}),
                          .column = result(DType::kFloat32, {kWidth}),
                          .update = result(DType::kFloat32, {kRows, kWidth}),
                          .rate = 0.1f});
    }
  }

  /// With BFloat16 on tensor cores, which ask for aligned views. The whole, and sample 0 as a part.
  void attention() {
    const AttentionPattern pattern{.heads = 2, .head_dim = 32, .rounds = 2, .chunk_length = 8};
    const TokenLayout batch{.samples = 3, .length = kLength};
    const Shape rows{kRows, 64}, part_rows{kLength, 64}, lists{3, 2, 2, kLength};
    const View query = input(rows), value = input(rows), dout = input(rows);
    const View order = views_.make(DType::kInt32, lists);
    const View bucket_begin = views_.make(DType::kInt32, {3, 2, 2, 6});
    backend_.bucket_sort({.num_buckets = 4,
                          .bucket_of = views_.copy(random_.integers(lists, 0, 3)),
                          .order = order,
                          .bucket_begin = bucket_begin});
    const AttentionArgs whole{.layout = batch,
                              .pattern = pattern,
                              .dropout = kDropout,
                              .query = query,
                              .key = {},
                              .value = value,
                              .order = order,
                              .bucket_begin = bucket_begin,
                              .mask = {},
                              .out = output(rows),
                              .lse = result(DType::kFloat32, {3, 2, kLength})};
    backend_.attention(whole);
    backend_.attention_backward({.forward = whole,
                                 .dout = dout,
                                 .dquery = output(rows),
                                 .dkey = {},
                                 .dvalue = output(rows)});
    const auto of_sample = [](const View& view) { return view.rows(0, kLength); };
    const auto part_result = [&](int64_t width) {
      return result(DType::kFloat32, {2, 2, kLength, width});
    };
    const AttentionPartArgs part{.pattern = pattern,
                                 .length = kLength,
                                 .own = {0, kLength},
                                 .dropout = kDropout,
                                 .query = of_sample(query),
                                 .key = {},
                                 .value = of_sample(value),
                                 .position = views_.zeros(DType::kInt32, {kLength}),
                                 .row = order.rows(0, 1).reshape({2, 2, kLength}),
                                 .bucket_begin = bucket_begin.rows(0, 1).reshape({2, 2, 6}),
                                 .slot_in = {},
                                 .sums = part_result(32),
                                 .weights = part_result(kRoundWeights)};
    backend_.attention_part(part);
    const View lse = result(DType::kFloat32, {1, 2, kLength});
    const View row = views_.zeros(DType::kInt32, {1, 2, 2, kLength});
    const auto flat = [](const View& view) {
      return view.reshape({view.elements() / view.shape()[3], view.shape()[3]});
    };
    backend_.combine_rounds({.layout = batch.slice(0, 0, kLength),
                             .pattern = pattern,
                             .dropout = kDropout,
                             .row = row,
                             .sums = flat(part.sums),
                             .weights = flat(part.weights),
                             .value = of_sample(value),
                             .mask = {},
                             .out = output(part_rows),
                             .lse = lse});
    const View delta = result(DType::kFloat32, {kLength, 2});
    backend_.head_products(
        {.heads = 2, .a = of_sample(dout), .b = of_sample(value), .products = delta});
    const View dquery = part_result(32), dvalue = part_result(32);
    backend_.attention_part_backward({.forward = part,
                                      .dout = of_sample(dout),
                                      .lse = lse.reshape({kLength, 2}),
                                      .delta = delta,
                                      .dquery = dquery,
                                      .dkey = {},
                                      .dvalue = dvalue});
    backend_.combine_gradients({.layout = batch.slice(0, 0, kLength),
                                .pattern = pattern,
                                .row = row,
                                .query_parts = flat(dquery),
                                .key_parts = {},
                                .value_parts = flat(dvalue),
                                .dout = of_sample(dout),
                                .lse = lse,
                                .dquery = output(part_rows),
                                .dkey = {},
                                .dvalue = output(part_rows)});
  }

  std::vector<Tensor> results() {
    std::vector<Tensor> tensors;
    for (const View& view : results_) tensors.push_back(views_.read(view));
    return tensors;
  }

 private:
  static constexpr int64_t kWidth = 40;
  static constexpr int64_t kOut = 24;
  static constexpr int64_t kLength = 19;
  static constexpr int64_t kRows = 3 * kLength;
  static constexpr Dropout kDropout{.rate = 0.3f, .key = {.lo = 5, .hi = 6}};

  View input(const Shape& shape) { return views_.copy(random_.normal(shape), activation_); }
  View parameter(const Shape& shape) { return views_.copy(random_.normal(shape)); }
  View result(DType dtype, const Shape& shape) {
    return results_.emplace_back(views_.zeros(dtype, shape));
  }
  View output(const Shape& shape) { return result(activation_, shape); }
  View gradient(const Shape& shape) { return result(DType::kInt64, shape); }

  Backend& backend_;
  DType activation_;
  DeviceViews views_;
  Random random_{32};
  TokenLayout layout_ = layout_of(3, kLength);
  std::vector<View> results_;
};

class CudaEveryOpTest : public CudaViewsTest, public ::testing::WithParamInterface<DType> {};
INSTANTIATE_TEST_SUITE_P(Activations, CudaEveryOpTest,
                         ::testing::Values(DType::kFloat32, DType::kBFloat16),
                         [](const auto& test) { return name_of(test.param); });

TEST_P(CudaEveryOpTest, ViewsMayBeginAnywhere) {
  const auto results_at = [&](int64_t offset, const auto& run) {
    EveryOp ops(*backend_, GetParam(), offset);
    run(ops);
    return ops.results();
  };
  const auto own_kernels = [](EveryOp& ops) {
    ops.rows();
    ops.tokens();
    ops.updates();
  };
  const std::vector<Tensor> aligned = results_at(0, own_kernels);
  const std::vector<Tensor> shifted = results_at(1, own_kernels);
  for (size_t i = 0; i < aligned.size(); ++i) {
    EXPECT_TRUE(same_bits(aligned[i].view(), shifted[i].view())) << "result " << i;
  }
  // Other algorithms of cuBLASLt may have other bits.
  const std::vector<Tensor> products = results_at(0, [](EveryOp& ops) { ops.products(); });
  const std::vector<Tensor> others = results_at(1, [](EveryOp& ops) { ops.products(); });
  for (size_t i = 0; i < products.size(); ++i) {
    EXPECT_LT(relative_error(to_doubles(others[i]), to_doubles(products[i])),
              GetParam() == DType::kFloat32 ? kTolerance : 2 * kBFloat16Tolerance)
        << "result " << i;
  }
}

TEST_P(CudaEveryOpTest, APlanCountsTheWorkspace) {
  const auto peaks_of = [&](Backend& backend) {
    EveryOp ops(backend, GetParam(), 0);
    std::vector<size_t> peaks;
    for (const auto run : {&EveryOp::tokens, &EveryOp::rows, &EveryOp::updates, &EveryOp::attention,
                           &EveryOp::products}) {
      (ops.*run)();
      peaks.push_back(backend.workspace_peak());
    }
    return peaks;
  };
  const std::unique_ptr<Backend> planner = backend_->make_planner();
  EXPECT_EQ(peaks_of(*planner), peaks_of(*backend_));
}

}  // namespace
}  // namespace reformer
