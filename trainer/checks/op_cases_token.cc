// Cases of tokens and of the optimizer.
#include <array>
#include <cmath>

#include "kernels/core/wide_sum.h"
#include "trainer/checks/op_inputs.h"

namespace reformer {

void add_token_cases(const OpShapes& shapes, std::vector<OpCase>& cases) {
  const int64_t extent = (shapes.scale.tokens + 63) / 64;
  const std::array<Shape, 2> axes{Shape{extent, shapes.scale.width / 4},
                                  Shape{64, shapes.scale.width - shapes.scale.width / 4}};
  cases.push_back({"embed",
                   [=](Backend& backend) {
                     Tensor y = floats(shapes.narrow);
                     const Tensor tokens =
                         integers({shapes.layout.rows()}, 30, shapes.scale.vocabulary);
                     const Tensor table = normal({shapes.scale.vocabulary, shapes.scale.width}, 31);
                     const Tensor first = normal(axes[0], 32), second = normal(axes[1], 33);
                     const std::array<View, 2> views{first.view(), second.view()};
                     backend.embed({.layout = shapes.layout,
                                    .tokens = tokens.view(),
                                    .table = table.view(),
                                    .axes = views,
                                    .y = y.view()});
                     return list(std::move(y));
                   },
                   kExact, kExact});
  cases.push_back(
      {"embed_backward",
       [=](Backend& backend) {
         Tensor dtable = sums({shapes.scale.vocabulary, shapes.scale.width});
         Tensor first = sums(axes[0]), second = sums(axes[1]);
         Tensor faults = no_faults();
         const std::array<View, 2> views{first.view(), second.view()};
         const Tensor tokens = integers({shapes.layout.rows()}, 34, shapes.scale.vocabulary);
         const Tensor dy = normal(shapes.narrow, 35);
         backend.embed_backward({.layout = shapes.layout,
                                 .tokens = tokens.view(),
                                 .dy = dy.view(),
                                 .dtable = dtable.view(),
                                 .daxes = views,
                                 .sum = sum_with(faults)});
         return list(std::move(dtable), std::move(first), std::move(second), std::move(faults));
       },
       kExact, kExact});
  cases.push_back(
      {"cross_entropy",
       [=](Backend& backend) {
         Tensor logits = normal({shapes.layout.rows(), shapes.scale.vocabulary}, 36);
         Tensor loss = sums({1}), correct = sums({1}), faults = no_faults();
         const Tensor labels = integers({shapes.layout.rows()}, 37, shapes.scale.vocabulary);
         labels.data<int32_t>()[0] = kIgnoredLabel;
         backend.cross_entropy({.logits = logits.view(),
                                .labels = labels.view(),
                                .scale = 1.0 / static_cast<double>(shapes.layout.rows()),
                                .gradient = true,
                                .loss = loss.view(),
                                .correct = correct.view(),
                                .sum = sum_with(faults)});
         return list(std::move(logits), std::move(loss), std::move(correct), std::move(faults));
       },
       kSummed32, kSummed32});
}

void add_update_cases(const OpShapes& shapes, std::vector<OpCase>& cases) {
  const Shape matrix{shapes.scale.width, shapes.scale.ff_width + 3};
  const Shape flat{matrix.elements()};
  cases.push_back({"sum_of_squares",
                   [=](Backend& backend) {
                     Tensor squares = sums({WideSum::kWords});
                     const Tensor x = normal_gradient(flat, 70);
                     backend.sum_of_squares({.x = x.view(), .squares = squares.view()});
                     return list(std::move(squares));
                   },
                   kExact, kExact});
  cases.push_back({"adamw",
                   [=](Backend& backend) {
                     Tensor parameter = normal(flat, 71), m = normal(flat, 72, 0.1f);
                     Tensor v = normal(flat, 73);
                     for (int64_t i = 0; i < v.elements(); ++i) {
                       v.data<float>()[i] = std::abs(v.data<float>()[i]);
                     }
                     const Tensor gradient = normal_gradient(flat, 74);
                     backend.adamw({.parameter = parameter.view(),
                                    .gradient = gradient.view(),
                                    .m = m.view(),
                                    .v = v.view(),
                                    .step = 3,
                                    .rate = 0.01f,
                                    .weight_decay = 0.1f,
                                    .gradient_scale = 0.5f});
                     return list(std::move(parameter), std::move(m), std::move(v));
                   },
                   kRounded32, kRounded32});
  cases.push_back({"adafactor",
                   [=](Backend& backend) {
                     Tensor parameter = normal(matrix, 75);
                     Tensor row = floats({matrix[0]}), column = floats({matrix[1]});
                     const Tensor update = floats(matrix);
                     const Tensor gradient = normal_gradient(matrix, 76);
                     backend.adafactor({.parameter = parameter.view(),
                                        .gradient = gradient.view(),
                                        .row = row.view(),
                                        .column = column.view(),
                                        .update = update.view(),
                                        .step = 2,
                                        .rate = 0.01f,
                                        .weight_decay = 0.1f});
                     return list(std::move(parameter), std::move(row), std::move(column));
                   },
                   kSummed32, kSummed32});
}

}  // namespace reformer
