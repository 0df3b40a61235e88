// Cases of products and of element-wise ops.
#include <cmath>
#include <string>

#include "trainer/checks/op_inputs.h"

namespace reformer {

void add_gemm_cases(const OpShapes& shapes, std::vector<OpCase>& cases) {
  const Shape weight{shapes.scale.width, shapes.scale.ff_width};
  const float deviation = 1.0f / std::sqrt(static_cast<float>(shapes.scale.width));
  cases.push_back({"linear",
                   [=](Backend& backend) {
                     Tensor y = floats(shapes.wide);
                     const Tensor x = normal(shapes.narrow, 1);
                     const Tensor w = normal(weight, 2, deviation);
                     const Tensor bias = normal({shapes.scale.ff_width}, 3);
                     backend.linear({.layout = shapes.layout,
                                     .x = x.view(),
                                     .weight = w.view(),
                                     .bias = bias.view(),
                                     .y = y.view()});
                     return list(std::move(y));
                   },
                   kSummed32, kSummed16});
  cases.push_back({"linear_backward_input",
                   [=](Backend& backend) {
                     Tensor dx = normal(shapes.narrow, 4);
                     const Tensor dy = normal(shapes.wide, 5);
                     const Tensor w = normal(weight, 6, deviation);
                     backend.linear_backward_input({.layout = shapes.layout,
                                                    .dy = dy.view(),
                                                    .weight = w.view(),
                                                    .dx = dx.view(),
                                                    .accumulate = true});
                     return list(std::move(dx));
                   },
                   kSummed32, kSummed16});
  cases.push_back({"linear_backward_weight",
                   [=](Backend& backend) {
                     Tensor dweight = sums(weight), dbias = sums({shapes.scale.ff_width});
                     Tensor faults = no_faults();
                     const Tensor x = normal(shapes.narrow, 7);
                     const Tensor dy = normal(shapes.wide, 8);
                     backend.linear_backward_weight({.layout = shapes.layout,
                                                     .x = x.view(),
                                                     .dy = dy.view(),
                                                     .dweight = dweight.view(),
                                                     .dbias = dbias.view(),
                                                     .sum = sum_with(faults)});
                     return list(std::move(dweight), std::move(dbias), std::move(faults));
                   },
                   kSummed32, kSummed16});
}

void add_pointwise_cases(const OpShapes& shapes, std::vector<OpCase>& cases) {
  const Dropout dropout{.rate = 0.1f, .key = {.lo = 5, .hi = 6}};
  cases.push_back(
      {"layer_norm",
       [=](Backend& backend) {
         Tensor y = floats(shapes.narrow);
         const Tensor x = normal_stream(shapes.narrow, 10);
         const Tensor gamma = normal({shapes.scale.width}, 11);
         const Tensor beta = normal({shapes.scale.width}, 12);
         backend.layer_norm(
             {.x = x.view(), .gamma = gamma.view(), .beta = beta.view(), .y = y.view()});
         return list(std::move(y));
       },
       kSummed32, kRounded16});
  cases.push_back({"layer_norm_backward",
                   [=](Backend& backend) {
                     Tensor dx = normal(shapes.narrow, 13);
                     Tensor dgamma = sums({shapes.scale.width}), dbeta = sums({shapes.scale.width});
                     Tensor faults = no_faults();
                     const Tensor x = normal_stream(shapes.narrow, 14);
                     const Tensor gamma = normal({shapes.scale.width}, 15);
                     const Tensor dy = normal(shapes.narrow, 16);
                     backend.layer_norm_backward({.layout = shapes.layout,
                                                  .x = x.view(),
                                                  .gamma = gamma.view(),
                                                  .dy = dy.view(),
                                                  .dx = dx.view(),
                                                  .accumulate = true,
                                                  .dgamma = dgamma.view(),
                                                  .dbeta = dbeta.view(),
                                                  .sum = sum_with(faults)});
                     return list(std::move(dx), std::move(dgamma), std::move(dbeta),
                                 std::move(faults));
                   },
                   kSummed32, kSummed16});
  for (const auto& [kind, name] :
       {std::pair(Activation::kRelu, "relu"), {Activation::kGelu, "gelu"}}) {
    cases.push_back({std::string("activation ") + name,
                     [=, kind = kind](Backend& backend) {
                       Tensor y = floats(shapes.wide);
                       const Tensor x = normal(shapes.wide, 17);
                       backend.activation({.layout = shapes.layout,
                                           .activation = kind,
                                           .dropout = dropout,
                                           .x = x.view(),
                                           .y = y.view()});
                       return list(std::move(y));
                     },
                     kRounded32, kRounded16});
    cases.push_back({std::string("activation_backward ") + name,
                     [=, kind = kind](Backend& backend) {
                       Tensor dx = floats(shapes.wide);
                       const Tensor x = normal(shapes.wide, 18);
                       const Tensor dy = normal(shapes.wide, 19);
                       backend.activation_backward({.layout = shapes.layout,
                                                    .activation = kind,
                                                    .dropout = dropout,
                                                    .x = x.view(),
                                                    .dy = dy.view(),
                                                    .dx = dx.view()});
                       return list(std::move(dx));
                     },
                     kRounded32, kRounded16});
  }
  cases.push_back(
      {"dropout",
       [=](Backend& backend) {
         Tensor y = floats(shapes.narrow);
         const Tensor x = normal(shapes.narrow, 20);
         backend.dropout(
             {.layout = shapes.layout, .dropout = dropout, .x = x.view(), .y = y.view()});
         return list(std::move(y));
       },
       kRounded32, kRounded16});
  cases.push_back({"residual",
                   [=](Backend& backend) {
                     Tensor x = normal_stream(shapes.narrow, 21);
                     Tensor faults = no_faults();
                     const Tensor f = normal(shapes.narrow, 22);
                     backend.residual({.layout = shapes.layout,
                                       .stream = x.view(),
                                       .f = f.view(),
                                       .subtract = true,
                                       .dropout = dropout,
                                       .faults = faults.view()});
                     return list(std::move(x), std::move(faults));
                   },
                   kRounded32, kRounded32});
  cases.push_back({"join_streams",
                   [=](Backend& backend) {
                     Tensor joined = floats({shapes.layout.rows(), 2 * shapes.scale.width});
                     const Tensor x1 = normal_stream(shapes.narrow, 23);
                     const Tensor x2 = normal_stream(shapes.narrow, 24);
                     backend.join_streams(
                         {.x1 = x1.view(), .x2 = x2.view(), .joined = joined.view()});
                     return list(std::move(joined));
                   },
                   kExact, kRounded16});
  cases.push_back(
      {"split_streams",
       [=](Backend& backend) {
         Tensor dx1 = floats(shapes.narrow), dx2 = floats(shapes.narrow);
         const Tensor djoined = normal({shapes.layout.rows(), 2 * shapes.scale.width}, 25);
         backend.split_streams({.djoined = djoined.view(), .dx1 = dx1.view(), .dx2 = dx2.view()});
         return list(std::move(dx1), std::move(dx2));
       },
       kExact, kExact});
}

}  // namespace reformer
