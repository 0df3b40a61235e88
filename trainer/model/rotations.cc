#include "trainer/model/rotations.h"

#include <algorithm>
#include <array>

#include "kernels/core/philox.h"
#include "kernels/lsh_layout.h"

namespace reformer {
namespace {

Tensor rotations_of_layer(const LayerSpec& layer, PhiloxKey key) {
  const AttentionPattern& pattern = layer.attention;
  const int64_t columns = rotation_columns(layer.buckets);
  const int64_t stride = pattern.rounds * columns;
  Tensor rotations(DType::kFloat32, {pattern.heads, pattern.head_dim, stride});
  for (int64_t head = 0; head < pattern.heads; ++head) {
    float* const of_head = rotations.data<float>() + head * pattern.head_dim * stride;
    for (int64_t round = 0; round < pattern.rounds; ++round) {
      for (int64_t element = 0; element < pattern.head_dim * columns; element += 4) {
        const std::array<float, 4> normals = normal_quad(
            philox(key, {static_cast<uint32_t>(element / 4), static_cast<uint32_t>(head),
                         static_cast<uint32_t>(round), 0}));
        for (int64_t i = element; i < std::min(element + 4, pattern.head_dim * columns); ++i) {
          of_head[i / columns * stride + round * columns + i % columns] =
              normals[static_cast<size_t>(i - element)];
        }
      }
    }
  }
  return rotations;
}

}  // namespace

std::vector<Tensor> make_rotations(const ModelSpec& spec, uint64_t seed, int64_t step) {
  std::vector<Tensor> rotations(spec.layers.size());
  for (size_t layer = 0; layer < spec.layers.size(); ++layer) {
    if (!is_hashed(spec.layers[layer].attention.kind)) continue;
    rotations[layer] = rotations_of_layer(
        spec.layers[layer], make_key(seed, RandomUse::kRotation, static_cast<uint64_t>(step),
                                     static_cast<uint32_t>(layer)));
  }
  return rotations;
}

}  // namespace reformer
