// Which fields have no effect under the kinds that a run has chosen. Such a field is refused when
// it is given, since somebody believes that it does something, and is absent from the resolved run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "configs/run.pb.h"

namespace reformer {

struct InertField {
  std::string path;    // of a field or a whole message, given or not
  std::string reason;  // "optimizer.kind is ADAMW"
};

std::vector<InertField> inert_fields(const config::Run& run);

/// What attention_pattern says of layer `layer`, from 0.
config::Model::LayerKind layer_kind(const config::Model& model, int64_t layer);

}  // namespace reformer
