#include "trainer/weights/hugging_face.h"

#include <cstring>
#include <sstream>

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

struct Name {
  const char* here;
  const char* there;
};

constexpr Name kNames[] = {
    {"embedding.tokens", "reformer.embeddings.word_embeddings.weight"},
    {"head.norm.gamma", "reformer.encoder.layer_norm.weight"},
    {"head.norm.beta", "reformer.encoder.layer_norm.bias"},
    {"head.weight", "lm_head.decoder.weight"},
    {"head.bias", "lm_head.bias"},
};

// After "layers.N." here and "reformer.encoder.layers.N." there.
constexpr Name kNamesInLayer[] = {
    {"attention.norm.gamma", "attention.layer_norm.weight"},
    {"attention.norm.beta", "attention.layer_norm.bias"},
    {"attention.query_key.weight", "attention.self_attention.query_key.weight"},
    {"attention.query.weight", "attention.self_attention.query.weight"},
    {"attention.key.weight", "attention.self_attention.key.weight"},
    {"attention.value.weight", "attention.self_attention.value.weight"},
    {"attention.output.weight", "attention.output.dense.weight"},
    {"feed_forward.norm.gamma", "feed_forward.layer_norm.weight"},
    {"feed_forward.norm.beta", "feed_forward.layer_norm.bias"},
    {"feed_forward.expand.weight", "feed_forward.dense.dense.weight"},
    {"feed_forward.expand.bias", "feed_forward.dense.dense.bias"},
    {"feed_forward.contract.weight", "feed_forward.output.dense.weight"},
    {"feed_forward.contract.bias", "feed_forward.output.dense.bias"},
};

template <size_t kCount>
std::string translate(const Name (&names)[kCount], const std::string& here) {
  for (const Name& name : names) {
    if (here == name.here) return name.there;
  }
  CHECK(!"a parameter with a counterpart");
}

std::string text_of(const Shape& shape) {
  std::ostringstream text;
  text << shape;
  return text.str();
}

void copy_transposed(const float* from, int64_t rows, int64_t columns, float* to) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      to[column * rows + row] = from[row * columns + column];
    }
  }
}

}  // namespace

HuggingFaceTensor hugging_face_tensor(const ParameterInfo& parameter, const ModelSpec& spec) {
  const Shape& shape = parameter.shape;
  if (parameter.name.starts_with("embedding.positions.")) {
    // Of axis a: the extent in dimension a, 1 in those of the other axes, then the width.
    const std::string axis = parameter.name.substr(std::strlen("embedding.positions."));
    std::vector<int64_t> extents(spec.position_axes.size(), 1);
    extents[std::stoul(axis)] = shape[0];
    extents.push_back(shape[1]);
    return {.name = "reformer.embeddings.position_embeddings.weights." + axis,
            .shape = Shape(extents)};
  }
  if (parameter.part == kEmbeddingPart || parameter.part == spec.head_part()) {
    const bool transposed = parameter.name == "head.weight";
    return {.name = translate(kNames, parameter.name),
            .shape = transposed ? Shape{shape[1], shape[0]} : shape,
            .transposed = transposed};
  }
  const std::string prefix = fmt::format("layers.{}.", parameter.part);
  const bool transposed = shape.rank() == 2;
  return {.name = "reformer.encoder." + prefix +
                  translate(kNamesInLayer, parameter.name.substr(prefix.size())),
          .shape = transposed ? Shape{shape[1], shape[0]} : shape,
          .transposed = transposed};
}

Tensor read_hugging_face(const SafetensorsFile& file, const ModelSpec& spec,
                         const std::string& prefix) {
  Tensor flat(DType::kFloat32, {flat_elements(spec)});
  for (const ParameterInfo& parameter : list_parameters(spec)) {
    const HuggingFaceTensor source = hugging_face_tensor(parameter, spec);
    const Tensor values = file.read(prefix + source.name, DType::kFloat32);
    if (values.shape() != source.shape) {
      throw DataError(fmt::format("{}{} has the shape {} and the model needs {}", prefix,
                                  source.name, text_of(values.shape()), text_of(source.shape)));
    }
    float* const destination = parameter.in(flat.view()).data<float>();
    if (source.transposed) {
      copy_transposed(values.data<float>(), source.shape[0], source.shape[1], destination);
    } else {
      std::memcpy(destination, values.view().raw(), values.view().bytes());
    }
  }
  return flat;
}

}  // namespace reformer
