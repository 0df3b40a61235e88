#include "trainer/gradient_buckets.h"

#include <fmt/format.h>

#include "trainer/model/parameters.h"

namespace reformer {
namespace {

std::string name_of_part(const ModelSpec& spec, int part) {
  if (part == kEmbeddingPart) return "the embedding";
  if (part == spec.head_part()) return "the head";
  return fmt::format("layer {}", part);
}

/// The tensors of a part with the gaps behind them: consecutive slices of the flat buffer.
std::vector<Slice> tensors_of_part(const std::vector<ParameterInfo>& parameters, int64_t flat_end,
                                   int part) {
  std::vector<Slice> tensors;
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].part != part) continue;
    const bool last = i + 1 == parameters.size();
    tensors.push_back({parameters[i].offset, last ? flat_end : parameters[i + 1].offset});
  }
  return tensors;
}

}  // namespace

std::vector<Bucket> make_buckets(const ModelSpec& spec, config::Optimizer::Kind optimizer,
                                 int ranks) {
  static_assert(kParameterAlignment % kSliceAlignment == 0);
  const std::vector<ParameterInfo> parameters = list_parameters(spec);
  const int64_t flat_end = flat_elements(spec);
  std::vector<Bucket> buckets;
  for (int part = spec.head_part(); part >= kEmbeddingPart; --part) {
    CHECK_EQ(bucket_of_part(spec, part), buckets.size());
    const std::vector<Slice> tensors = tensors_of_part(parameters, flat_end, part);
    buckets.push_back(
        {.name = name_of_part(spec, part),
         .slices = optimizer == config::Optimizer::ADAFACTOR
                       ? whole_slices(tensors, ranks, static_cast<int>(buckets.size()))
                       : even_slices(tensors.front().begin, tensors.back().end, ranks)});
  }
  return buckets;
}

size_t bucket_of_part(const ModelSpec& spec, int part) {
  return static_cast<size_t>(spec.head_part() - part);
}

}  // namespace reformer
