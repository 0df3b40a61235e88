// Backend: the one interface between the model and the machine.
//
// Rules that hold for every op unless its comment says otherwise:
//   * Views are dense, row-major and on this backend; Float32 unless stated. [rows] means
//     layout.rows() rows as token_layout.h defines them.
//   * Views marked "activation" are Float32, or BFloat16 where computes_in() says so; those of one
//     call may differ only where that is written. Arithmetic and sums are Float32 in either case.
//   * Outputs are overwritten; the word "accumulates" marks those that are added to. Outputs do not
//     alias inputs or each other, except where "may alias" is written.
//   * Ops run in the order of the calls. An asynchronous backend has finished, and host memory may
//     be read, after synchronize() or download().
//   * Results are bit-identical for any number of threads, any grouping of the batch, and any
//     calls before; see token_layout.h.
//   * Wrong shapes and dtypes are bugs (CHECK). Device faults throw DeviceError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "kernels/attention_args.h"
#include "kernels/core/arena.h"
#include "kernels/core/view.h"
#include "kernels/dropout.h"
#include "kernels/token_layout.h"

namespace reformer {

/// Counters of numeric faults, one Int64 [kFaultKinds] view for each layer. Ops add to them.
enum FaultKind : int {
  kStreamSaturated = 0,  // a value outside the range of the residual stream, or NaN (fixed_point.h)
  kSumOverflowed = 1,    // a term outside the range of an exact sum, or NaN
};
inline constexpr int64_t kFaultKinds = 2;

/// How gradients are summed. A gradient view has dtype Int64 (exact sums in units of 2^-44 of one
/// Float32 partial per leaf) or Float32 (the partials are added in leaf order). Always accumulates.
struct GradientSum {
  double limit = 0;  // Int64: terms with |q| >= limit are faults; 2^62 / (terms in the step)
  View faults;       // Int64 [kFaultKinds]
};

// ---- gemm: one call per token tile ---------------------------------------------------------

/// y = x·weight + bias. With a BFloat16 x the weight is rounded to BFloat16 as well; y may be
/// Float32 all the same. With a BFloat16 y the bias is rounded too.
struct LinearArgs {
  TokenLayout layout;
  View x;       // activation [rows, in]
  View weight;  // [in, out]
  View bias;    // [out] or absent
  View y;       // activation [rows, out]
};

/// dx = dy·weightᵀ, or dx += … if `accumulate`. With a BFloat16 dx, dy and the weight are rounded
/// to BFloat16.
struct LinearBackwardInputArgs {
  TokenLayout layout;
  View dy;      // activation [rows, out]
  View weight;  // [in, out]
  View dx;      // activation [rows, in]
  bool accumulate = false;
};

/// dweight += xᵀ·dy and dbias += Σ dy, one Float32 partial per leaf. With a BFloat16 x, dy is
/// rounded to BFloat16 for dweight.
struct LinearBackwardWeightArgs {
  TokenLayout layout;
  View x;        // activation [rows, in]
  View dy;       // activation [rows, out]
  View dweight;  // gradient [in, out]
  View dbias;    // gradient [out] or absent
  GradientSum sum;
};

// ---- pointwise -----------------------------------------------------------------------------

/// y = (x − mean) / sqrt(variance + epsilon) · gamma + beta, per row.
struct LayerNormArgs {
  View x;      // [rows, width], a stream (Float32 or Fixed32) or an activation like y
  View gamma;  // [width]
  View beta;   // [width]
  float epsilon = 1e-5f;
  View y;  // activation [rows, width]
};

/// Recomputes the statistics from x. dx is overwritten, or accumulates if `accumulate`; it is
/// Float32 if x is a stream, else an activation like dy.
struct LayerNormBackwardArgs {
  TokenLayout layout;
  View x;  // as in the forward pass
  View gamma;
  float epsilon = 1e-5f;
  View dy;  // activation [rows, width]
  View dx;  // [rows, width]
  bool accumulate = false;
  View dgamma;  // gradient [width]
  View dbeta;   // gradient [width]
  GradientSum sum;
};

enum class Activation : uint8_t {
  kRelu,
  kGelu,  // x·Φ(x) with the error function, not the tanh approximation
};

/// y = dropout(activation(x)). y may alias x if the caller needs x no more.
struct ActivationArgs {
  TokenLayout layout;
  Activation activation = Activation::kRelu;
  Dropout dropout;
  View x;  // activation [rows, width]
  View y;  // activation [rows, width]
};

/// dx = activation'(x) · dropout(dy). dx may alias dy.
struct ActivationBackwardArgs {
  TokenLayout layout;
  Activation activation = Activation::kRelu;
  Dropout dropout;
  View x;   // activation [rows, width], the input of the forward pass
  View dy;  // activation [rows, width]
  View dx;  // activation [rows, width]
};

/// y = dropout(x); its own gradient. y may alias x. A Float32 x may become a BFloat16 y: the
/// gradient of a stream enters a block.
struct DropoutArgs {
  TokenLayout layout;
  Dropout dropout;
  View x;  // activation [rows, width]
  View y;  // activation [rows, width]
};

/// stream += dropout(f), or stream −= dropout(f) if `subtract`. With a Fixed32 stream the
/// subtraction undoes the addition exactly (fixed_point.h).
struct ResidualArgs {
  TokenLayout layout;
  View stream;  // [rows, width], Float32 or Fixed32; accumulates
  View f;       // activation [rows, width]
  bool subtract = false;
  Dropout dropout;
  View faults;  // Int64 [kFaultKinds]
};

/// joined = [x1, x2] as floats.
struct JoinStreamsArgs {
  View x1;      // [rows, width], Float32 or Fixed32
  View x2;      // [rows, width], like x1
  View joined;  // activation [rows, 2·width]
};

/// [dx1, dx2] = djoined.
struct SplitStreamsArgs {
  View djoined;  // activation [rows, 2·width]
  View dx1;      // [rows, width]
  View dx2;      // [rows, width]
};

// ---- token ---------------------------------------------------------------------------------

/// y = table[token] + position(p), p the global position. Axial positions of any rank: axis a has a
/// table [extent_a, width_a]; p is written in mixed radix with the extents, the last axis fastest,
/// and the rows that its digits select are concatenated, Σ width_a = width. Learned positions are
/// the case of one axis; no axes, no positions.
struct EmbedArgs {
  TokenLayout layout;
  View tokens;                 // Int32 [rows], each in [0, vocabulary)
  View table;                  // [vocabulary, width]
  std::span<const View> axes;  // [extent_a, width_a] each
  View y;                      // [rows, width]
};

/// The unit of an exact sum is one token here, not one leaf.
struct EmbedBackwardArgs {
  TokenLayout layout;
  View tokens;                  // Int32 [rows]
  View dy;                      // [rows, width]
  View dtable;                  // gradient [vocabulary, width]
  std::span<const View> daxes;  // gradient [extent_a, width_a] each
  GradientSum sum;
};

inline constexpr int32_t kIgnoredLabel = -1;

/// Softmax cross-entropy over the columns of a tile of logits. Rows whose label is kIgnoredLabel
/// count nothing and get gradient 0.
struct CrossEntropyArgs {
  View logits;  // [rows, vocabulary]; with `gradient` overwritten by scale · d(Σ loss)/d(logits)
  View labels;  // Int32 [rows], each in [0, vocabulary) or kIgnoredLabel
  double scale = 1;  // 1 / (valid labels of the step over all ranks)
  bool gradient = false;
  View loss;        // Int64 [1], accumulates scale · loss in nats, in units of 2^-44
  View correct;     // Int64 [1], accumulates the rows whose label has the (first) largest logit
  GradientSum sum;  // limit and faults of `loss`
};

// ---- lsh -----------------------------------------------------------------------------------

/// Bucket of every token, head and round (paper, section 2): argmax over [xR; −xR], the first of
/// equals. `buckets` = [n_1, n_2, …] are even; with more than one, a bucket is factored:
/// b = a_1 + n_1·(a_2 + n_2·…), a_f the argmax over the n_f / 2 columns of factor f. Masked tokens
/// go to the extra bucket N = Π n_f.
struct LshHashArgs {
  TokenLayout layout;
  int64_t heads = 1;   // H
  int64_t rounds = 1;  // R
  std::span<const int64_t> buckets;
  View query_key;  // activation [rows, H·D]; BFloat16 is projected in Float32
  View rotations;  // [H, D, R · Σ n_f / 2]; the columns of round r are adjacent, factor by factor
  View mask;       // Uint8 [B, T], 0 = masked; or absent
  View bucket_of;  // Int32 [B, H, R, T]
};

/// Stable sort by (bucket, position). Slot s of a (sample, head, round) holds token order[s].
struct BucketSortArgs {
  int64_t num_buckets = 1;  // N
  View bucket_of;           // Int32 [B, H, R, T], each in [0, N]; N = masked
  View order;               // Int32 [B, H, R, T]
  View bucket_begin;        // Int32 [B, H, R, N + 2]: first slot of bucket b; [N + 1] = T
};

// ---- update --------------------------------------------------------------------------------

/// squares += Σ x². Each block of kNormBlock consecutive elements is summed in double, in order;
/// the blocks are added without rounding, so that ranks may own any of them.
inline constexpr int64_t kNormBlock = 64;
struct SumOfSquaresArgs {
  View x;        // gradient [n] (Int64 in units of 2^-44, or Float32)
  View squares;  // Int64 [WideSum::kWords], the words of a WideSum (wide_sum.h); accumulates
};

/// AdamW (Loshchilov and Hutter, ICLR 2019): g = gradient · gradient_scale; m, v with bias
/// correction for `step` (from 1); parameter −= rate · (m̂ / (√v̂ + epsilon) + weight_decay ·
/// parameter).
struct AdamWArgs {
  View parameter;  // [n], accumulates
  View gradient;   // gradient [n]
  View m;          // [n], accumulates
  View v;          // [n], accumulates
  int64_t step = 1;
  float rate = 0;
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float epsilon = 1e-8f;
  float weight_decay = 0;
  float gradient_scale = 1;
};

/// Adafactor (Shazeer and Stern, ICML 2018, algorithms 4 and 5) without momentum:
/// decay = 1 − step^−0.8; matrices keep row and column means of g² + epsilon1, vectors the full
/// second moment in `column`; the update is divided by max(1, RMS / clip) and multiplied by
/// rate · max(RMS(parameter), epsilon2); parameter −= update + rate · weight_decay · parameter.
struct AdafactorArgs {
  View parameter;  // [n, m] or [m], accumulates
  View gradient;   // gradient, like parameter
  View row;        // [n]; absent for vectors; accumulates
  View column;     // [m]; accumulates
  View update;     // scratch, like parameter
  int64_t step = 1;
  float rate = 0;
  float epsilon1 = 1e-16f;
  float epsilon2 = 1e-3f;
  float clip = 1.0f;
  float weight_decay = 0;
  float gradient_scale = 1;
};

/// What a device can do at most.
struct DevicePeaks {
  double bytes_per_second = 0;  // of its memory
  double flops_per_second = 0;  // dense products of BFloat16
};

class Backend {
 public:
  virtual ~Backend() = default;

  /// Device, threads and instruction set in words, for the log: "CPU, 2 threads, AVX2, …".
  virtual std::string description() const = 0;

  /// The dtypes that activations may have here: Float32 always.
  virtual bool computes_in(DType dtype) const { return dtype == DType::kFloat32; }

  /// The cudaStream_t that ops run on, for those who order other work around them; null where ops
  /// have finished when they return.
  virtual void* stream() const { return nullptr; }

  /// Nothing where that is not known.
  virtual std::optional<DevicePeaks> peaks() const { return std::nullopt; }

  /// False where ops only look at their arguments: what is downloaded then is zeros.
  virtual bool computes() const = 0;

  /// Identifies everything that may change bits: backend, instruction set, library builds. Equal
  /// strings promise equal bits.
  virtual std::string numeric_identity() const = 0;

  /// A backend that computes nothing, like that of plan_backend.h, but takes as much memory as this
  /// one.
  virtual std::unique_ptr<Backend> make_planner() const = 0;

  /// Most bytes that ops have had in use at a time besides arenas, of the memory that arenas are
  /// in.
  virtual size_t workspace_peak() const { return 0; }
  /// Takes that many at once, so that ops need not ask for memory while they run.
  virtual void reserve_workspace(size_t /*bytes*/) {}

  /// Bytes that arenas and workspace can still have, where that is not the host's memory.
  virtual std::optional<size_t> free_device_memory() const { return std::nullopt; }

  /// An arena of this backend's memory. Throws DeviceError when `bytes` cannot be had.
  virtual std::unique_ptr<Arena> make_arena(size_t bytes) = 0;

  /// Copies of equal size between the host and this backend. `download` waits for earlier ops.
  virtual void upload(const void* host, const View& destination) = 0;
  virtual void download(const View& source, void* host) = 0;
  virtual void copy(const View& source, const View& destination) = 0;
  virtual void fill_zero(const View& destination) = 0;
  virtual void synchronize() = 0;

  virtual void linear(const LinearArgs& args) = 0;
  virtual void linear_backward_input(const LinearBackwardInputArgs& args) = 0;
  virtual void linear_backward_weight(const LinearBackwardWeightArgs& args) = 0;

  virtual void layer_norm(const LayerNormArgs& args) = 0;
  virtual void layer_norm_backward(const LayerNormBackwardArgs& args) = 0;
  virtual void activation(const ActivationArgs& args) = 0;
  virtual void activation_backward(const ActivationBackwardArgs& args) = 0;
  virtual void dropout(const DropoutArgs& args) = 0;
  virtual void residual(const ResidualArgs& args) = 0;
  virtual void join_streams(const JoinStreamsArgs& args) = 0;
  virtual void split_streams(const SplitStreamsArgs& args) = 0;

  virtual void embed(const EmbedArgs& args) = 0;
  virtual void embed_backward(const EmbedBackwardArgs& args) = 0;
  virtual void cross_entropy(const CrossEntropyArgs& args) = 0;

  virtual void lsh_hash(const LshHashArgs& args) = 0;
  virtual void bucket_sort(const BucketSortArgs& args) = 0;
  virtual void attention(const AttentionArgs& args) = 0;
  virtual void attention_backward(const AttentionBackwardArgs& args) = 0;
  virtual void attend_cached(const AttendCachedArgs& args) = 0;

  /// Parts of attention have the bits of the whole where they begin at multiples of this many
  /// slots.
  virtual int64_t slot_block() const = 0;
  virtual void attention_part(const AttentionPartArgs& args) = 0;
  virtual void attention_part_backward(const AttentionPartBackwardArgs& args) = 0;
  virtual void combine_rounds(const CombineRoundsArgs& args) = 0;
  virtual void combine_gradients(const CombineGradientsArgs& args) = 0;
  virtual void head_products(const HeadProductsArgs& args) = 0;
  virtual void gather_rows(const GatherRowsArgs& args) = 0;

  virtual void sum_of_squares(const SumOfSquaresArgs& args) = 0;
  virtual void adamw(const AdamWArgs& args) = 0;
  virtual void adafactor(const AdafactorArgs& args) = 0;
};

}  // namespace reformer
