#include "comm/summation.h"

#include <cstdint>

namespace reformer {
namespace {

template <typename T>
void add(const void* term, void* sum, int64_t count) {
  const T* const from = static_cast<const T*>(term);
  T* const to = static_cast<T*>(sum);
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

}  // namespace

void add_in_order(std::span<const View> terms) {
  const View& sum = terms[0];
  for (const View& term : terms.subspan(1)) {
    CHECK_EQ(term.dtype(), sum.dtype());
    CHECK_EQ(term.elements(), sum.elements());
    switch (sum.dtype()) {
      case DType::kInt64:
        add<uint64_t>(term.raw(), sum.raw(), sum.elements());
        break;
      case DType::kFloat32:
        add<float>(term.raw(), sum.raw(), sum.elements());
        break;
      case DType::kFloat64:
        add<double>(term.raw(), sum.raw(), sum.elements());
        break;
      default:
        CHECK(!"a dtype that can be summed");
    }
  }
}

}  // namespace reformer
