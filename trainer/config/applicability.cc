#include "trainer/config/applicability.h"

namespace reformer {
namespace {

bool has_layer(const config::Model& model, config::Model::LayerKind kind) {
  for (int64_t layer = 0; layer < model.layers(); ++layer) {
    if (layer_kind(model, layer) == kind) return true;
  }
  return false;
}

void add_model(const config::Model& model, std::vector<InertField>* fields) {
  if (!has_layer(model, config::Model::LSH)) {
    fields->push_back({"model.lsh", "no layer of model.attention_pattern is LSH"});
  }
  if (!has_layer(model, config::Model::LOCAL)) {
    fields->push_back({"model.local", "no layer of model.attention_pattern is LOCAL"});
  }
  if (model.positions().kind() != config::Positions::AXIAL) {
    const std::string reason =
        "model.positions.kind is " + config::Positions::Kind_Name(model.positions().kind());
    fields->push_back({"model.positions.shape", reason});
    fields->push_back({"model.positions.widths", reason});
  }
}

void add_data(const config::Data& data, std::vector<InertField>* fields) {
  if (data.source() == config::Data::BYTES) {
    fields->push_back({"data.symbols", "data.source is BYTES"});
    if (data.has_train() && data.has_validation()) {
      fields->push_back({"data.validation_share", "data.train and data.validation are given"});
    }
    return;
  }
  for (const char* path : {"data.path", "data.validation_share", "data.train", "data.validation",
                           "data.byte_offset"}) {
    fields->push_back({path, "data.source is DUPLICATION"});
  }
}

void add_training(const config::Run& run, std::vector<InertField>* fields) {
  const config::Schedule::Kind schedule = run.training().schedule().kind();
  if (schedule == config::Schedule::CONSTANT || schedule == config::Schedule::RSQRT) {
    fields->push_back({"training.schedule.final_rate",
                       "training.schedule.kind is " + config::Schedule::Kind_Name(schedule)});
  }
  if (run.optimizer().kind() == config::Optimizer::ADAMW) {
    fields->push_back({"optimizer.adafactor", "optimizer.kind is ADAMW"});
  } else {
    fields->push_back({"optimizer.adamw", "optimizer.kind is ADAFACTOR"});
  }
}

}  // namespace

std::vector<InertField> inert_fields(const config::Run& run) {
  std::vector<InertField> fields;
  add_model(run.model(), &fields);
  add_data(run.data(), &fields);
  add_training(run, &fields);
  return fields;
}

config::Model::LayerKind layer_kind(const config::Model& model, int64_t layer) {
  const int64_t size = model.attention_pattern_size();
  if (size == 0) return config::Model::LSH;
  return model.attention_pattern(static_cast<int>(layer % size));
}

}  // namespace reformer
