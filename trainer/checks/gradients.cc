#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "kernels/core/fixed_point.h"
#include "trainer/checks/check.h"
#include "trainer/checks/check_model.h"
#include "trainer/checks/finite_differences.h"
#include "trainer/model/parameters.h"

namespace reformer {
namespace {

constexpr double kTolerance = 0.02;

}  // namespace

CheckResult check_gradients(Backend& backend) {
  // Fixed-point streams would round the small differences away.
  RunConfig config = check_config({"model.streams=FLOAT32"});
  // Tokens that change their bucket would make the loss jump, so one chunk holds them all.
  for (LayerSpec& layer : config.model.layers) {
    if (!is_hashed(layer.attention.kind)) continue;
    layer.attention.kind = AttentionKind::kChunked;
    layer.attention.chunk_length = config.run.data().length();
  }
  const CheckModel model(config, backend);
  const Tensor gradients = model.gradients();
  const ModelState& state = model.state();

  double worst = 0;
  std::string worst_name;
  uint64_t seed = 0;
  const std::vector<ParameterInfo> parameters = list_parameters(state.spec);
  for (const ParameterInfo& parameter : parameters) {
    const View sums = parameter.in(gradients.view());
    std::vector<double> gradient;
    for (int64_t i = 0; i < sums.elements(); ++i) {
      gradient.push_back(static_cast<double>(sums.data<int64_t>()[i]) * kSumStep);
    }
    const View on_backend = parameter.in(state.parameters);
    const Tensor values(DType::kFloat32, parameter.shape);
    backend.download(on_backend, values.view().raw());
    const double ratio = slope_ratio(values.view(), gradient, ++seed, [&] {
      backend.upload(values.view().raw(), on_backend);
      return model.loss();
    });
    backend.upload(values.view().raw(), on_backend);
    const double error = std::isfinite(ratio) ? std::abs(ratio - 1) : HUGE_VAL;
    if (error <= worst) continue;
    worst = error;
    worst_name = parameter.name;
  }
  return {.name = "gradients equal finite differences",
          .holds = worst <= kTolerance,
          .detail = fmt::format("{} parameter tensors, worst {:.2g} ({}), allowed {}",
                                parameters.size(), worst, worst_name, kTolerance)};
}

}  // namespace reformer
