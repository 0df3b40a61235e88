// Weights of Hugging Face's ReformerModelWithLMHead (transformers 4), tensor by tensor.
#pragma once

#include <string>
#include <vector>

#include "trainer/model/model_spec.h"
#include "trainer/model/parameters.h"
#include "trainer/weights/safetensors.h"

namespace reformer {

/// Where a parameter is kept there.
struct HuggingFaceTensor {
  std::string name;
  Shape shape;
  bool transposed = false;  // [out, in] there, [in, out] here
};

HuggingFaceTensor hugging_face_tensor(const ParameterInfo& parameter, const ModelSpec& spec);

/// The library's config.json for a model of this shape. Throws ConfigError, naming the setting,
/// when the library has nothing like it: it would compute something else from the same weights.
std::string hugging_face_config(const ModelSpec& spec);

/// All parameters as the library keeps them. `flat` is the flat buffer of list_parameters on the
/// host.
std::vector<StoredTensor> to_hugging_face(const ModelSpec& spec, const View& flat);

/// All parameters as the flat buffer of list_parameters, Float32 on the host, gaps zero. `prefix`
/// stands before every name in the file. Throws DataError, naming the tensor, when one is missing,
/// has another shape, or a value that is not finite.
Tensor read_hugging_face(const TensorFile& file, const ModelSpec& spec,
                         const std::string& prefix = "");

/// Tensors of the file that read_hugging_face has no use for, constants of the library left aside.
/// Throws DataError when one of them is a weight of a Reformer: the model would be another without
/// it.
std::vector<std::string> list_unused(const TensorFile& file, const ModelSpec& spec);

}  // namespace reformer
