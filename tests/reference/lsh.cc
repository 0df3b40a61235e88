#include "tests/reference/lsh.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace reformer::reference {
namespace {

struct Argmax {
  int64_t index = 0;
  double margin = 1;
};

Argmax first_largest(const std::vector<double>& values) {
  const auto largest = std::max_element(values.begin(), values.end());
  Argmax result{.index = largest - values.begin()};
  for (const double value : values) {
    if (value != *largest) {
      result.margin = std::min(result.margin, (*largest - value) / std::abs(*largest));
    }
  }
  return result;
}

}  // namespace

Hashes lsh_hash(const LshHashArgs& args) {
  const int64_t length = args.layout.length;
  const int64_t width = args.query_key.shape()[1];
  const int64_t head_dim = width / args.heads;
  const int64_t columns = args.rotations.shape()[2];
  Hashes hashes;
  for (int64_t list = 0; list < args.layout.samples * args.heads * args.rounds; ++list) {
    const int64_t round = list % args.rounds;
    const int64_t head = list / args.rounds % args.heads;
    const int64_t sample = list / args.rounds / args.heads;
    for (int64_t t = 0; t < length; ++t) {
      const bool masked = args.mask.defined() && !args.mask.data<uint8_t>()[sample * length + t];
      const float* x =
          args.query_key.data<float>() + (sample * length + t) * width + head * head_dim;
      int64_t column = round * (columns / args.rounds);
      int64_t bucket = 0;
      int64_t scale = 1;
      double margin = 1;
      for (const int64_t factor : args.buckets) {
        std::vector<double> projections(static_cast<size_t>(factor));
        for (int64_t c = 0; c < factor / 2; ++c, ++column) {
          double y = 0;
          for (int64_t d = 0; d < head_dim; ++d) {
            y += static_cast<double>(x[d]) *
                 static_cast<double>(
                     args.rotations.data<float>()[(head * head_dim + d) * columns + column]);
          }
          projections[static_cast<size_t>(c)] = y;
          projections[static_cast<size_t>(c + factor / 2)] = -y;
        }
        const Argmax argmax = first_largest(projections);
        bucket += scale * argmax.index;
        scale *= factor;
        margin = std::min(margin, argmax.margin);
      }
      hashes.bucket_of.push_back(static_cast<int32_t>(masked ? scale : bucket));
      hashes.margin.push_back(masked ? 1 : margin);
    }
  }
  return hashes;
}

SortedBuckets bucket_sort(const std::vector<int32_t>& bucket_of, int64_t length,
                          int64_t num_buckets) {
  SortedBuckets sorted;
  for (auto list = bucket_of.begin(); list != bucket_of.end(); list += length) {
    std::vector<int32_t> order(static_cast<size_t>(length));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return list[a] < list[b]; });
    std::vector<int32_t> begin(static_cast<size_t>(num_buckets + 2), 0);
    for (int64_t t = 0; t < length; ++t) ++begin[static_cast<size_t>(list[t] + 1)];
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    sorted.order.insert(sorted.order.end(), order.begin(), order.end());
    sorted.bucket_begin.insert(sorted.bucket_begin.end(), begin.begin(), begin.end());
  }
  return sorted;
}

}  // namespace reformer::reference
