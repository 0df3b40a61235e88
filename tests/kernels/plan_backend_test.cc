// The planning backend touches no memory and counts like a real one.
#include "kernels/plan_backend.h"

#include <array>
#include <cstring>
#include <limits>
#include <memory>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

constexpr size_t kUnlimited = std::numeric_limits<size_t>::max() / 2;

TEST(PlanBackend, CountsMoreThanAnyMachineHas) {
  const auto backend = make_plan_backend();
  const auto arena = backend->make_arena(kUnlimited);
  const View view =
      arena->allocate(DType::kFloat32, {int64_t{1} << 30, 1 << 20}, MemoryUse::kParameters);
  EXPECT_TRUE(view.defined());
  EXPECT_EQ(view.shape(), (Shape{int64_t{1} << 30, 1 << 20}));
  EXPECT_EQ(arena->peak(), size_t{1} << 52);
}

TEST(PlanBackend, RefusesWhatExceedsItsArena) {
  const auto arena = make_plan_backend()->make_arena(1024);
  arena->allocate(DType::kUint8, {1000}, MemoryUse::kBlock);
  EXPECT_THROW(arena->allocate(DType::kUint8, {1}, MemoryUse::kBlock), DeviceError);
}

/// Memory of a step in small: what stays, what ends with a block, and blocks of unequal size.
void allocate_like_a_step(Arena& arena) {
  arena.allocate(DType::kFloat32, {1000}, MemoryUse::kParameters);
  arena.allocate(DType::kInt64, {1000}, MemoryUse::kGradients);
  Arena::Mark step(arena);
  arena.allocate(DType::kFixed32, {2, 300}, MemoryUse::kStreams);
  for (const int64_t rows : {7, 300, 1}) {
    Arena::Mark block(arena);
    arena.allocate(DType::kFloat32, {rows, 13}, MemoryUse::kBlock);
    Arena::Mark inner(arena);
    arena.allocate(DType::kInt32, {rows}, MemoryUse::kSlots);
  }
}

TEST(PlanBackend, CountsLikeRealMemory) {
  const Tensor memory(DType::kUint8, {1 << 20});
  Arena real(memory.view().raw(), memory.view().bytes());
  const auto planned = make_plan_backend()->make_arena(kUnlimited);
  allocate_like_a_step(real);
  allocate_like_a_step(*planned);
  EXPECT_EQ(planned->peak(), real.peak());
  EXPECT_EQ(planned->usage_at_peak(), real.usage_at_peak());
  EXPECT_EQ(planned->used(), real.used());

  // Exactly that much memory suffices, and a byte less does not.
  Arena exact(memory.view().raw(), planned->peak());
  allocate_like_a_step(exact);
  Arena less(memory.view().raw(), planned->peak() - 1);
  EXPECT_THROW(allocate_like_a_step(less), DeviceError);
}

TEST(PlanBackend, DownloadsZeros) {
  const auto backend = make_plan_backend();
  const auto arena = backend->make_arena(kUnlimited);
  const View view = arena->allocate(DType::kInt64, {2}, MemoryUse::kBlock);
  std::array<int64_t, 4> host{-1, -1, -1, -1};
  backend->download(view, host.data() + 1);
  EXPECT_EQ(host, (std::array<int64_t, 4>{-1, 0, 0, -1}));
  backend->download(arena->allocate(DType::kInt64, {0}, MemoryUse::kBlock), host.data());
  EXPECT_EQ(host[0], -1);
}

TEST(PlanBackend, OpsTouchNoMemory) {
  // The views have made-up addresses, and a host pointer of null would fault as well.
  const auto backend = make_plan_backend();
  const auto arena = backend->make_arena(kUnlimited);
  const auto floats = [&] { return arena->allocate(DType::kFloat32, {8, 8}, MemoryUse::kBlock); };
  const auto integers = [&](DType dtype) {
    return arena->allocate(dtype, {8, 8}, MemoryUse::kBlock);
  };
  const TokenLayout layout{.samples = 1, .length = 8};
  const GradientSum sum{.limit = 1, .faults = integers(DType::kInt64)};
  const View gradient = integers(DType::kInt64);
  const View tokens = integers(DType::kInt32);

  backend->upload(nullptr, floats());
  backend->copy(floats(), floats());
  backend->fill_zero(floats());
  backend->linear({.layout = layout, .x = floats(), .weight = floats(), .bias = {}, .y = floats()});
  backend->linear_backward_input(
      {.layout = layout, .dy = floats(), .weight = floats(), .dx = floats()});
  backend->linear_backward_weight({.layout = layout,
                                   .x = floats(),
                                   .dy = floats(),
                                   .dweight = gradient,
                                   .dbias = {},
                                   .sum = sum});
  backend->layer_norm({.x = floats(), .gamma = floats(), .beta = floats(), .y = floats()});
  backend->layer_norm_backward({.layout = layout,
                                .x = floats(),
                                .gamma = floats(),
                                .dy = floats(),
                                .dx = floats(),
                                .dgamma = gradient,
                                .dbeta = gradient,
                                .sum = sum});
  backend->activation({.layout = layout, .dropout = {}, .x = floats(), .y = floats()});
  backend->activation_backward(
      {.layout = layout, .dropout = {}, .x = floats(), .dy = floats(), .dx = floats()});
  backend->dropout({.layout = layout, .dropout = {}, .x = floats(), .y = floats()});
  backend->residual(
      {.layout = layout, .stream = floats(), .f = floats(), .dropout = {}, .faults = sum.faults});
  backend->join_streams({.x1 = floats(), .x2 = floats(), .joined = floats()});
  backend->split_streams({.djoined = floats(), .dx1 = floats(), .dx2 = floats()});
  backend->embed(
      {.layout = layout, .tokens = tokens, .table = floats(), .axes = {}, .y = floats()});
  backend->embed_backward({.layout = layout,
                           .tokens = tokens,
                           .dy = floats(),
                           .dtable = gradient,
                           .daxes = {},
                           .sum = sum});
  backend->cross_entropy(
      {.logits = floats(), .labels = tokens, .loss = gradient, .correct = gradient, .sum = sum});
  backend->lsh_hash({.layout = layout,
                     .buckets = {},
                     .query_key = floats(),
                     .rotations = floats(),
                     .mask = {},
                     .bucket_of = tokens});
  backend->bucket_sort({.bucket_of = tokens, .order = tokens, .bucket_begin = tokens});
  const AttentionArgs attention{.layout = layout,
                                .pattern = {},
                                .dropout = {},
                                .query = floats(),
                                .key = {},
                                .value = floats(),
                                .order = tokens,
                                .bucket_begin = tokens,
                                .mask = {},
                                .out = floats(),
                                .lse = floats()};
  backend->attention(attention);
  backend->attention_backward(
      {.forward = attention, .dout = floats(), .dquery = floats(), .dkey = {}, .dvalue = floats()});
  const AttentionPartArgs part{.pattern = {},
                               .length = 8,
                               .own = {0, 8},
                               .dropout = {},
                               .query = floats(),
                               .key = {},
                               .value = floats(),
                               .position = tokens,
                               .row = tokens,
                               .bucket_begin = tokens,
                               .slot_in = {},
                               .sums = floats(),
                               .weights = floats()};
  backend->attention_part(part);
  backend->attention_part_backward({.forward = part,
                                    .dout = floats(),
                                    .lse = floats(),
                                    .delta = floats(),
                                    .dquery = floats(),
                                    .dkey = {},
                                    .dvalue = floats()});
  backend->combine_rounds({.layout = layout,
                           .pattern = {},
                           .dropout = {},
                           .row = tokens,
                           .sums = floats(),
                           .weights = floats(),
                           .value = floats(),
                           .mask = {},
                           .out = floats(),
                           .lse = floats()});
  backend->combine_gradients({.layout = layout,
                              .pattern = {},
                              .row = tokens,
                              .query_parts = floats(),
                              .key_parts = {},
                              .value_parts = floats(),
                              .dout = floats(),
                              .lse = floats(),
                              .dquery = floats(),
                              .dkey = {},
                              .dvalue = floats()});
  backend->head_products({.a = floats(), .b = floats(), .products = floats()});
  backend->gather_rows({.x = floats(), .index = tokens, .y = floats()});
  backend->sum_of_squares({.x = floats(), .squares = integers(DType::kInt64)});
  backend->adamw({.parameter = floats(), .gradient = gradient, .m = floats(), .v = floats()});
  backend->adafactor({.parameter = floats(),
                      .gradient = gradient,
                      .row = floats(),
                      .column = floats(),
                      .update = floats()});
  backend->synchronize();

  // No op takes memory of the arena for itself.
  const size_t used = arena->used();
  backend->attention(attention);
  EXPECT_EQ(arena->used(), used);
}

}  // namespace
}  // namespace reformer
