#include "trainer/data/split.h"

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

DataRange resolve(const config::Range& range, const char* field, int64_t size, const char* unit,
                  const std::string& path) {
  const DataRange resolved{range.begin(), range.end() == 0 ? size : range.end()};
  if (resolved.end > size || resolved.begin >= resolved.end) {
    throw DataError(fmt::format("{}: {} = [{}, {}) does not lie in the {} {}s of the file", path,
                                field, resolved.begin, resolved.end, size, unit));
  }
  return resolved;
}

}  // namespace

std::string describe(const DataSplit& split) {
  const std::string training =
      split.train.size() == 0
          ? ""
          : fmt::format("training [{}, {}), ", split.train.begin, split.train.end);
  return fmt::format("{}held-out [{}, {})", training, split.validation.begin, split.validation.end);
}

DataSplit split_of(const config::Data& data, int64_t size, const char* unit,
                   const std::string& path) {
  if (data.has_train()) {
    return {.train = resolve(data.train(), "data.train", size, unit, path),
            .validation = resolve(data.validation(), "data.validation", size, unit, path)};
  }
  const auto held_out = static_cast<int64_t>(static_cast<double>(size) * data.validation_share());
  return {.train = {0, size - held_out}, .validation = {size - held_out, size}};
}

}  // namespace reformer
