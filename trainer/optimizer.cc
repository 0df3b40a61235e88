#include "trainer/optimizer.h"

#include <algorithm>

#include "trainer/model/parameters.h"

namespace reformer {
namespace {

float decay_of(const ParameterInfo& parameter, const config::Optimizer& config) {
  return parameter.shape.rank() >= 2 ? static_cast<float>(config.weight_decay()) : 0.0f;
}

View zeros(Backend& backend, Arena& arena, const Shape& shape) {
  const View view = arena.allocate(DType::kFloat32, shape, MemoryUse::kOptimizer);
  backend.fill_zero(view);
  return view;
}

class AdamWOptimizer final : public Optimizer {
 public:
  AdamWOptimizer(const config::Optimizer& config, const ModelSpec& spec, Backend& backend,
                 Arena& arena)
      : config_(config),
        parameters_(list_parameters(spec)),
        backend_(backend),
        m_(zeros(backend, arena, {flat_elements(spec)})),
        v_(zeros(backend, arena, {flat_elements(spec)})) {}

  void update(const UpdateArgs& args) override {
    for (const ParameterInfo& parameter : parameters_) {
      const int64_t begin = parameter.offset;
      const int64_t end = begin + parameter.shape.elements();
      backend_.adamw({.parameter = args.parameters.rows(begin, end),
                      .gradient = args.gradients.rows(begin, end),
                      .m = m_.rows(begin, end),
                      .v = v_.rows(begin, end),
                      .step = args.step,
                      .rate = args.rate,
                      .beta1 = static_cast<float>(config_.adamw().beta1()),
                      .beta2 = static_cast<float>(config_.adamw().beta2()),
                      .epsilon = static_cast<float>(config_.adamw().epsilon()),
                      .weight_decay = decay_of(parameter, config_),
                      .gradient_scale = args.gradient_scale});
    }
  }

  std::vector<NamedView> state() const override {
    std::vector<NamedView> state;
    for (const ParameterInfo& parameter : parameters_) {
      state.push_back({"adamw.m/" + parameter.name, parameter.in(m_)});
      state.push_back({"adamw.v/" + parameter.name, parameter.in(v_)});
    }
    return state;
  }

 private:
  config::Optimizer config_;
  std::vector<ParameterInfo> parameters_;
  Backend& backend_;
  View m_;
  View v_;
};

class AdafactorOptimizer final : public Optimizer {
 public:
  AdafactorOptimizer(const config::Optimizer& config, const ModelSpec& spec, Backend& backend,
                     Arena& arena)
      : config_(config), parameters_(list_parameters(spec)), backend_(backend) {
    int64_t largest = 0;
    for (const ParameterInfo& parameter : parameters_) {
      const Shape& shape = parameter.shape;
      largest = std::max(largest, shape.elements());
      moments_.push_back({shape.rank() == 2 ? zeros(backend, arena, {shape[0]}) : View(),
                          zeros(backend, arena, {shape[shape.rank() - 1]})});
    }
    scratch_ = zeros(backend, arena, {largest});
  }

  void update(const UpdateArgs& args) override {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const ParameterInfo& parameter = parameters_[i];
      const View update = scratch_.rows(0, parameter.shape.elements()).reshape(parameter.shape);
      backend_.adafactor({.parameter = parameter.in(args.parameters),
                          .gradient = parameter.in(args.gradients),
                          .row = moments_[i].row,
                          .column = moments_[i].column,
                          .update = update,
                          .step = args.step,
                          .rate = args.rate,
                          .epsilon1 = static_cast<float>(config_.adafactor().epsilon1()),
                          .epsilon2 = static_cast<float>(config_.adafactor().epsilon2()),
                          .clip = static_cast<float>(config_.adafactor().clip()),
                          .weight_decay = decay_of(parameter, config_),
                          .gradient_scale = args.gradient_scale});
    }
  }

  std::vector<NamedView> state() const override {
    std::vector<NamedView> state;
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (moments_[i].row.defined()) {
        state.push_back({"adafactor.row/" + parameters_[i].name, moments_[i].row});
      }
      state.push_back({"adafactor.column/" + parameters_[i].name, moments_[i].column});
    }
    return state;
  }

 private:
  struct Moments {
    View row;     // [n] of a matrix [n, m]; absent for vectors
    View column;  // [m]
  };

  config::Optimizer config_;
  std::vector<ParameterInfo> parameters_;
  Backend& backend_;
  std::vector<Moments> moments_;
  View scratch_;
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const config::Optimizer& config, const ModelSpec& spec,
                                          Backend& backend, Arena& arena) {
  switch (config.kind()) {
    case config::Optimizer::ADAFACTOR:
      return std::make_unique<AdafactorOptimizer>(config, spec, backend, arena);
    case config::Optimizer::ADAMW:
      break;
  }
  return std::make_unique<AdamWOptimizer>(config, spec, backend, arena);
}

}  // namespace reformer
