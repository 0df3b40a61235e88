#include "kernels/cpu/attention_combine.h"

#include <cstddef>
#include <cstring>
#include <utility>

#include "kernels/cpu/attention_slots.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/rows.h"
#include "kernels/op_checks.h"

namespace reformer::cpu {
namespace {

constexpr int64_t kBlockTokens = 64;

/// Consecutive tokens of one sample and head.
struct TokenBlock {
  int64_t list = 0;  // sample and head, in [B·H]
  int64_t begin = 0;
  int64_t count = 0;
};

/// Calls body(block, thread) for blocks that together are all tokens of all heads, in parallel.
template <typename Body>
void for_token_blocks(ThreadPool& pool, const TokenLayout& layout, int64_t heads,
                      const Body& body) {
  const int64_t blocks = (layout.length + kBlockTokens - 1) / kBlockTokens;
  pool.parallel_for(layout.samples * heads * blocks, [&](int64_t index, int thread) {
    const int64_t begin = index % blocks * kBlockTokens;
    body(TokenBlock{.list = index / blocks,
                    .begin = begin,
                    .count = std::min(kBlockTokens, layout.length - begin)},
         thread);
  });
}

/// Where the tokens of a block are in the views of `Args`.
template <typename Args>
class BlockRows {
 public:
  BlockRows(const Args& args, const TokenBlock& block)
      : args_(args), block_(block), length_(args.layout.length) {}

  /// In [rows, H·D].
  TokenRows activation(const View& view) const {
    return head_rows(view, args_.pattern, length_, block_.list).slice(block_.begin, block_.count);
  }

  /// The results of a round in [K, D].
  TokenRows results(const View& view, int64_t round) const {
    const int64_t list = block_.list * args_.pattern.rounds + round;
    const int32_t* const rows = args_.row.template data<int32_t>() + list * length_ + block_.begin;
    CHECK(std::all_of(rows, rows + block_.count,
                      [&](int32_t row) { return 0 <= row && row < view.shape()[0]; }));
    return {.base = view.data<float>(),
            .stride = args_.pattern.head_dim,
            .rows = rows,
            .count = block_.count,
            .width = args_.pattern.head_dim};
  }

  /// In [B, H, T].
  float* scalars(const View& view) const {
    return view.data<float>() + block_.list * length_ + block_.begin;
  }

 private:
  const Args& args_;
  const TokenBlock& block_;
  int64_t length_;
};

RoundSums carve_round_sums(Carver& carver, int64_t width) {
  RoundSums sums;
  sums.values = carver.floats(kBlockTokens * width);
  sums.weights = carver.floats(kBlockTokens);
  sums.offsets = carver.floats(kBlockTokens);
  return sums;
}

struct RoundsWorkspace {
  RoundsWorkspace(Carver& carver, const AttentionPattern& pattern)
      : width(padded_width(pattern.head_dim)),
        sums(carve_round_sums(carver, width)),
        earlier(carve_round_sums(carver, width)) {}

  int64_t width;
  RoundSums sums;
  RoundSums earlier;
};

struct GradientsWorkspace {
  GradientsWorkspace(Carver& carver, const AttentionPattern& pattern)
      : width(padded_width(pattern.head_dim)),
        tile(carver.floats(kBlockTokens * width)),
        row(carver.floats(width)) {}

  int64_t width;
  float* tile;  // [kBlockTokens, width]
  float* row;   // [width]
};

void load_round(const CombineRoundsArgs& args, const TokenBlock& block, int64_t round,
                const RoundSums& sums) {
  const TokenRows from = BlockRows(args, block).results(args.sums, round);
  gather_rows(from, sums.values);
  for (int64_t i = 0; i < from.count; ++i) {
    const float* weights = args.weights.data<float>() + from.rows[i] * kRoundWeights;
    sums.offsets[i] = weights[0];
    sums.weights[i] = weights[1];
  }
}

void combine_block(const CombineRoundsArgs& args, const TokenBlock& block, RoundsWorkspace work) {
  const BlockRows rows(args, block);
  load_round(args, block, 0, work.sums);
  for (int64_t round = 1; round < args.pattern.rounds; ++round) {
    std::swap(work.sums, work.earlier);
    load_round(args, block, round, work.sums);
    add_earlier_rounds(work.earlier, block.count, work.width, work.sums);
  }
  const uint8_t* mask = args.mask.data<uint8_t>();
  if (mask != nullptr) mask += block.list / args.pattern.heads * args.layout.length + block.begin;
  finish_rounds(
      rows.activation(args.value), [&](int64_t i) { return mask != nullptr && mask[i] == 0; },
      work.width, work.sums);
  scatter_rows(work.sums.values, rows.activation(args.out), false);
  std::copy_n(work.sums.offsets, block.count, rows.scalars(args.lse));
}

void combine_block(const CombineGradientsArgs& args, const TokenBlock& block,
                   const GradientsWorkspace& work) {
  const BlockRows rows(args, block);
  const float* lse = rows.scalars(args.lse);
  for (int64_t round = 0; round < args.pattern.rounds; ++round) {
    const auto add = [&](const View& parts, const View& gradient) {
      gather_rows(rows.results(parts, round), work.tile);
      scatter_rows(work.tile, rows.activation(gradient), round > 0);
    };
    add(args.query_parts, args.dquery);
    if (args.dkey.defined()) add(args.key_parts, args.dkey);
    gather_rows(rows.results(args.value_parts, round), work.tile);
    if (round == 0 && has_shared_query_key(args.pattern.kind)) {
      add_own_value_gradients(
          rows.activation(args.dout), [&](int64_t i) { return lse[i] == kSelfScore; }, work.width,
          work.row, work.tile);
    }
    scatter_rows(work.tile, rows.activation(args.dvalue), round > 0);
  }
}

}  // namespace

void add_earlier_rounds(const RoundSums& earlier, int64_t count, int64_t width,
                        const RoundSums& sums) {
  for (int64_t i = 0; i < count; ++i) {
    const float before = earlier.offsets[i];
    const float offset = std::max(before, sums.offsets[i]);
    const auto factor = [offset](float of) { return of == offset ? 1.0f : std::exp(of - offset); };
    const float keep_earlier = factor(before);
    const float keep = factor(sums.offsets[i]);
    sums.offsets[i] = offset;
    sums.weights[i] = earlier.weights[i] * keep_earlier + sums.weights[i] * keep;
    earlier.weights[i] = keep_earlier;
    earlier.offsets[i] = keep;
  }
  add_scaled_rows({.rows = sums.values, .factors = earlier.offsets},
                  {.rows = earlier.values, .factors = earlier.weights}, count, width, sums.values);
}

void combine_rounds(ThreadPool& pool, const CombineRoundsArgs& args) {
  check_combine_rounds(args);
  CHECK_EQ(args.out.dtype(), DType::kFloat32);
  for_token_blocks(pool, args.layout, args.pattern.heads, [&](const TokenBlock& block, int thread) {
    combine_block(args, block, carve_workspace<RoundsWorkspace>(pool, thread, args.pattern));
  });
}

void combine_gradients(ThreadPool& pool, const CombineGradientsArgs& args) {
  check_combine_gradients(args);
  CHECK_EQ(args.dout.dtype(), DType::kFloat32);
  for_token_blocks(pool, args.layout, args.pattern.heads, [&](const TokenBlock& block, int thread) {
    combine_block(args, block, carve_workspace<GradientsWorkspace>(pool, thread, args.pattern));
  });
}

void head_products(ThreadPool& pool, const HeadProductsArgs& args) {
  check_head_products(args);
  CHECK_EQ(args.a.dtype(), DType::kFloat32);
  const int64_t width = args.a.shape()[1];
  for_row_blocks(pool, 0, args.a.shape()[0], width, [&](int64_t begin, int64_t end) {
    dot_rows(args.a.data<float>() + begin * width, args.b.data<float>() + begin * width,
             (end - begin) * args.heads, width / args.heads,
             args.products.data<float>() + begin * args.heads);
  });
}

void gather_rows(ThreadPool& pool, const GatherRowsArgs& args) {
  check_gather_rows(args);
  const int64_t width = args.x.shape()[1];
  const size_t bytes = static_cast<size_t>(width) * size_of(args.x.dtype());
  const auto* from = static_cast<const std::byte*>(args.x.raw());
  auto* to = static_cast<std::byte*>(args.y.raw());
  const int32_t* index = args.index.data<int32_t>();
  for_row_blocks(pool, 0, args.y.shape()[0], width, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::byte* row = to + static_cast<size_t>(i) * bytes;
      CHECK_LT(index[i], args.x.shape()[0]);
      if (index[i] < 0) {
        std::memset(row, 0, bytes);
      } else {
        std::memcpy(row, from + static_cast<size_t>(index[i]) * bytes, bytes);
      }
    }
  });
}

}  // namespace reformer::cpu
