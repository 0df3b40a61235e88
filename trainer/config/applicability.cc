#include "trainer/config/applicability.h"

#include <algorithm>
#include <initializer_list>

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
    const std::string reason = "no layer of model.attention_pattern is LSH";
    fields->push_back({"model.lsh", reason});
    fields->push_back({"evaluation.lsh_queries", reason});
    fields->push_back({"parallel.heads", reason});
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

/// A field and the sources of data that heed it.
struct DataField {
  const char* path;
  std::initializer_list<config::Data::Source> sources;
};

void add_data(const config::Data& data, std::vector<InertField>* fields) {
  using config::Data;
  const DataField conditional[] = {
      {"data.path", {Data::BYTES, Data::TOKENS, Data::CHARACTERS, Data::RECORDS}},
      {"data.validation_share", {Data::BYTES, Data::TOKENS, Data::CHARACTERS, Data::RECORDS}},
      {"data.train", {Data::BYTES, Data::TOKENS, Data::CHARACTERS, Data::RECORDS}},
      {"data.validation", {Data::BYTES, Data::TOKENS, Data::CHARACTERS, Data::RECORDS}},
      {"data.symbols", {Data::DUPLICATION, Data::INCREMENT, Data::RETRIEVAL}},
      {"data.byte_offset", {Data::BYTES, Data::RECORDS}},
      {"data.max_stride", {Data::INCREMENT}},
      {"data.pairs", {Data::RETRIEVAL}},
      {"data.value_length", {Data::RETRIEVAL}},
      {"data.queries", {Data::RETRIEVAL}},
      {"data.alphabet", {Data::CHARACTERS}},
      {"data.fold_case", {Data::CHARACTERS}},
      {"data.header_mark", {Data::CHARACTERS}},
      {"evaluation.stride", {Data::BYTES, Data::TOKENS, Data::CHARACTERS}},
  };
  for (const auto& [path, sources] : conditional) {
    if (std::find(sources.begin(), sources.end(), data.source()) != sources.end()) continue;
    fields->push_back({path, "data.source is " + Data::Source_Name(data.source())});
  }
  if (data.has_train() && data.has_validation()) {
    fields->push_back({"data.validation_share", "data.train and data.validation are given"});
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
