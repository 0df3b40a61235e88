#include "trainer/optimizer.h"

#include <algorithm>

#include "trainer/gradient_buckets.h"
#include "trainer/model/parameters.h"

namespace reformer {
namespace {

float decay_of(const ParameterInfo& parameter, const config::Optimizer& config) {
  return parameter.shape.rank() >= 2 ? static_cast<float>(config.weight_decay()) : 0.0f;
}

/// State of each piece begins where vector code likes it.
int64_t aligned(int64_t elements) {
  return (elements + kParameterAlignment - 1) / kParameterAlignment * kParameterAlignment;
}

View zeros(const OptimizerPlace& place, const Shape& shape) {
  const View view = place.arena.allocate(DType::kFloat32, shape, MemoryUse::kOptimizer);
  place.backend.fill_zero(view);
  return view;
}

class AdamWOptimizer final : public Optimizer {
 public:
  AdamWOptimizer(const config::Optimizer& config, const ModelSpec& spec,
                 const OptimizerPlace& place)
      : config_(config),
        backend_(place.backend),
        buckets_(place.buckets),
        pieces_(place.buckets.size()) {
    int64_t state_elements = 0;
    for (const ParameterInfo& parameter : list_parameters(spec)) {
      const size_t bucket = bucket_of_part(spec, parameter.part);
      const Slice& own_slice = buckets_[bucket].slices[static_cast<size_t>(place.rank)];
      Piece piece{.parameter = parameter,
                  .own = parts_within(range_of(parameter), {own_slice})[0],
                  .state_begin = state_elements};
      state_elements += aligned(piece.own.elements());
      pieces_[bucket].push_back(std::move(piece));
    }
    m_ = zeros(place, {state_elements});
    v_ = zeros(place, {state_elements});
  }

  void update_bucket(size_t bucket, const UpdateArgs& args) override {
    for (const Piece& piece : pieces_[bucket]) {
      if (piece.own.elements() == 0) continue;
      const int64_t begin = piece.parameter.offset + piece.own.begin;
      const int64_t end = piece.parameter.offset + piece.own.end;
      backend_.adamw({.parameter = args.parameters.rows(begin, end),
                      .gradient = args.gradients.rows(begin, end),
                      .m = piece.in(m_),
                      .v = piece.in(v_),
                      .step = args.step,
                      .rate = args.rate,
                      .beta1 = static_cast<float>(config_.adamw().beta1()),
                      .beta2 = static_cast<float>(config_.adamw().beta2()),
                      .epsilon = static_cast<float>(config_.adamw().epsilon()),
                      .weight_decay = decay_of(piece.parameter, config_),
                      .gradient_scale = args.gradient_scale});
    }
  }

  std::vector<ShardedTensor> state() const override {
    std::vector<ShardedTensor> state;
    // Like the parameters: embedding, layers, head.
    for (size_t bucket = pieces_.size(); bucket-- > 0;) {
      for (const Piece& piece : pieces_[bucket]) {
        const std::string& name = piece.parameter.name;
        const Shape& shape = piece.parameter.shape;
        const std::vector<Slice> parts =
            parts_within(range_of(piece.parameter), buckets_[bucket].slices);
        state.push_back({"adamw.m/" + name, shape, parts, piece.in(m_)});
        state.push_back({"adamw.v/" + name, shape, parts, piece.in(v_)});
      }
    }
    return state;
  }

 private:
  /// What this rank has of a parameter.
  struct Piece {
    ParameterInfo parameter;
    Slice own;                // elements of the parameter
    int64_t state_begin = 0;  // in m and v

    View in(const View& state) const {
      return state.rows(state_begin, state_begin + own.elements());
    }
  };

  static Slice range_of(const ParameterInfo& parameter) {
    return {parameter.offset, parameter.offset + parameter.shape.elements()};
  }

  config::Optimizer config_;
  Backend& backend_;
  const std::vector<Bucket>& buckets_;
  std::vector<std::vector<Piece>> pieces_;  // by bucket
  View m_;
  View v_;
};

class AdafactorOptimizer final : public Optimizer {
 public:
  AdafactorOptimizer(const config::Optimizer& config, const ModelSpec& spec,
                     const OptimizerPlace& place)
      : config_(config),
        backend_(place.backend),
        buckets_(place.buckets),
        factors_(place.buckets.size()) {
    int64_t largest = 0;
    for (const ParameterInfo& parameter : list_parameters(spec)) {
      const size_t bucket = bucket_of_part(spec, parameter.part);
      Factors factors{.parameter = parameter, .owner = owner_of(parameter, buckets_[bucket])};
      factors.own = factors.owner == static_cast<size_t>(place.rank);
      if (factors.own) {
        const Shape& shape = parameter.shape;
        largest = std::max(largest, shape.elements());
        if (shape.rank() == 2) factors.row = zeros(place, {shape[0]});
        factors.column = zeros(place, {shape[shape.rank() - 1]});
      }
      factors_[bucket].push_back(std::move(factors));
    }
    scratch_ = zeros(place, {largest});
  }

  void update_bucket(size_t bucket, const UpdateArgs& args) override {
    for (const Factors& factors : factors_[bucket]) {
      if (!factors.own) continue;
      const ParameterInfo& parameter = factors.parameter;
      const View update = scratch_.rows(0, parameter.shape.elements()).reshape(parameter.shape);
      backend_.adafactor({.parameter = parameter.in(args.parameters),
                          .gradient = parameter.in(args.gradients),
                          .row = factors.row,
                          .column = factors.column,
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

  std::vector<ShardedTensor> state() const override {
    std::vector<ShardedTensor> state;
    for (size_t bucket = factors_.size(); bucket-- > 0;) {
      for (const Factors& factors : factors_[bucket]) {
        const Shape& shape = factors.parameter.shape;
        const auto add = [&](const std::string& prefix, int64_t elements, const View& view) {
          std::vector<Slice> parts(buckets_[bucket].slices.size());
          parts[factors.owner] = {0, elements};
          state.push_back({prefix + factors.parameter.name, {elements}, std::move(parts), view});
        };
        if (shape.rank() == 2) add("adafactor.row/", shape[0], factors.row);
        add("adafactor.column/", shape[shape.rank() - 1], factors.column);
      }
    }
    return state;
  }

 private:
  /// The factored second moment of a parameter.
  struct Factors {
    ParameterInfo parameter;
    size_t owner = 0;  // the rank that holds and updates it
    bool own = false;  // that is this one
    View row{};        // [n] of a matrix [n, m]; absent for vectors
    View column{};     // [m]
  };

  static size_t owner_of(const ParameterInfo& parameter, const Bucket& bucket) {
    const auto holds = [&](const Slice& slice) {
      return slice.begin <= parameter.offset && parameter.offset < slice.end;
    };
    const auto owner = std::find_if(bucket.slices.begin(), bucket.slices.end(), holds);
    CHECK(owner != bucket.slices.end());
    return static_cast<size_t>(owner - bucket.slices.begin());
  }

  config::Optimizer config_;
  Backend& backend_;
  const std::vector<Bucket>& buckets_;
  std::vector<std::vector<Factors>> factors_;  // by bucket
  View scratch_;
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const config::Optimizer& config, const ModelSpec& spec,
                                          const OptimizerPlace& place) {
  switch (config.kind()) {
    case config::Optimizer::ADAFACTOR:
      return std::make_unique<AdafactorOptimizer>(config, spec, place);
    case config::Optimizer::ADAMW:
      break;
  }
  return std::make_unique<AdamWOptimizer>(config, spec, place);
}

}  // namespace reformer
