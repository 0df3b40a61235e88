// CHECKs of what backend.h asks of the arguments of ops, for all backends. What a backend asks
// beyond that, such as Float32 activations, it checks itself.
#pragma once

#include <span>

#include "kernels/backend.h"

namespace reformer {

void check_view(const View& view, DType dtype, const Shape& shape);
/// Float32 or BFloat16.
void check_activation(const View& view, const Shape& shape);
/// A residual stream: Float32 or Fixed32.
void check_stream(const View& view, const Shape& shape);
void check_layout(const TokenLayout& layout);
/// [rows, width] with the rows of `layout` and the width of `x`.
Shape checked_shape(const TokenLayout& layout, const View& x);

/// `gradient` is a gradient view of this shape, and `sum` suffices for it.
void check_gradient(const View& gradient, const Shape& shape, const GradientSum& sum);
/// The same for a gradient that is only read.
void check_gradient_view(const View& gradient, const Shape& shape);

/// The axes of positions, values or gradients, fill the width and reach every position of `layout`.
void check_axes(const TokenLayout& layout, std::span<const View> axes, int64_t width);

void check_attention(const AttentionArgs& args);
void check_attention_backward(const AttentionBackwardArgs& args);
/// Views are looked at only if there are own slots.
void check_attention_part(const AttentionPartArgs& args);
void check_attention_part_backward(const AttentionPartBackwardArgs& args);
void check_combine_rounds(const CombineRoundsArgs& args);
void check_combine_gradients(const CombineGradientsArgs& args);
void check_head_products(const HeadProductsArgs& args);
void check_gather_rows(const GatherRowsArgs& args);
void check_adafactor(const AdafactorArgs& args);

}  // namespace reformer
