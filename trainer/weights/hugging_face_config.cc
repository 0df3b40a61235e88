#include "trainer/weights/hugging_face_config.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "trainer/config/derive.h"
#include "trainer/weights/json_settings.h"

namespace reformer {
namespace {

using Json = nlohmann::json;

// Keys that leave the numbers of a given model and sequence alone: names, special tokens, initial
// values, generation, memory, and those that the library itself no longer reads.
constexpr const char* kWithoutEffect =
    "_name_or_path add_cross_attention architectures axial_norm_std bad_words_ids "
    "begin_suppress_tokens bos_token_id chunk_size_feed_forward chunk_size_lm_head "
    "classifier_dropout cross_attention_hidden_size decoder_start_token_id diversity_penalty "
    "do_sample dtype early_stopping encoder_no_repeat_ngram_size eos_token_id "
    "exponential_decay_length_penalty finetuning_task forced_bos_token_id "
    "forced_eos_token_id id2label initializer_range intermediate_size is_encoder_decoder "
    "label2id length_penalty max_length min_length no_repeat_ngram_size num_beam_groups "
    "num_beams num_chunks_after num_chunks_before num_labels num_return_sequences "
    "output_attentions output_hidden_states output_past output_scores pad_token_id prefix "
    "problem_type remove_invalid_values repetition_penalty return_dict "
    "return_dict_in_generate sep_token_id suppress_tokens task_specific_params temperature "
    "tf_legacy_loss tie_encoder_decoder tokenizer_class top_k top_p torch_dtype torchscript "
    "transformers_version typical_p use_bfloat16 use_cache";

/// The shortest beginning that, repeated, gives all layers.
std::vector<config::Model::LayerKind> pattern_of(
    const std::vector<config::Model::LayerKind>& layers) {
  for (size_t size = 1; size < layers.size(); ++size) {
    const bool repeats = std::equal(layers.begin() + static_cast<std::ptrdiff_t>(size),
                                    layers.end(), layers.begin());
    if (repeats) return {layers.begin(), layers.begin() + static_cast<std::ptrdiff_t>(size)};
  }
  return layers;
}

void read_layers(JsonSettings& settings, config::Model& model) {
  constexpr const char* kLegal = "a list of 1 to 1024 times \"lsh\" or \"local\"";
  std::vector<config::Model::LayerKind> layers;
  const Json otherwise = {"local", "lsh", "local", "lsh", "local", "lsh"};
  const Json* const given = settings.find("attn_layers");
  const Json& names = given == nullptr ? otherwise : *given;
  if (!names.is_array() || names.empty() || names.size() > 1024) {
    settings.refuse("attn_layers", "gives no layers", kLegal);
  }
  for (const Json& name : names) {
    if (name != "lsh" && name != "local") {
      settings.refuse("attn_layers", fmt::format("has a layer {}", name.dump()), kLegal);
    }
    layers.push_back(name == "lsh" ? config::Model::LSH : config::Model::LOCAL);
  }
  const auto count = static_cast<int64_t>(layers.size());
  settings.require("num_hidden_layers", count, count, "is not the number of attn_layers");
  model.set_layers(count);
  for (const config::Model::LayerKind kind : pattern_of(layers)) {
    model.add_attention_pattern(kind);
  }
}

bool has_layer(const config::Model& model, config::Model::LayerKind kind) {
  const auto& pattern = model.attention_pattern();
  return std::find(pattern.begin(), pattern.end(), kind) != pattern.end();
}

void read_sizes(JsonSettings& settings, config::Model& model) {
  model.set_vocabulary(settings.integer("vocab_size", 320, "model.vocabulary"));
  model.set_width(settings.integer("hidden_size", 256, "model.width"));
  model.set_ff_width(settings.integer("feed_forward_size", 512, "model.ff_width"));
  model.set_heads(settings.integer("num_attention_heads", 12, "model.heads"));
  model.set_head_width(settings.integer("attention_head_size", 64, "model.head_width"));
  if (model.head_width() == 0) settings.refuse("attention_head_size", "is no width", "at least 1");
  model.set_max_length(settings.integer("max_position_embeddings", 4096, "data.length"));
  model.set_layer_norm_epsilon(settings.real("layer_norm_eps", 1e-12, "model.layer_norm_epsilon"));
  const Json* const activation = settings.find("hidden_act");
  if (activation != nullptr && *activation != "relu" && *activation != "gelu") {
    settings.refuse("hidden_act", "is not computed here", "\"relu\" or \"gelu\"");
  }
  model.set_activation(activation != nullptr && *activation == "gelu" ? config::Model::GELU
                                                                      : config::Model::RELU);
}

/// What the library chooses for the longest sequence when it is not told.
std::vector<int64_t> usual_buckets(int64_t max_length, int64_t chunk_length) {
  const int64_t chunks = max_length / chunk_length;
  const auto power = static_cast<int>(std::bit_width(static_cast<uint64_t>(2 * chunks))) - 1;
  const int64_t count = int64_t{1} << power;
  const auto root = static_cast<int64_t>(std::sqrt(static_cast<double>(chunks)));
  if (count <= 2 * std::max(root, chunk_length)) return {count};
  return {int64_t{1} << power / 2, int64_t{1} << (power - power / 2)};
}

std::vector<int64_t> read_buckets(JsonSettings& settings, int64_t max_length,
                                  int64_t chunk_length) {
  const std::string key = "num_buckets";
  const Json* const given = settings.find(key);
  if (given == nullptr || given->is_null()) return usual_buckets(max_length, chunk_length);
  const Json list = given->is_array() ? *given : Json::array({*given});
  std::vector<int64_t> buckets;
  int64_t product = 1;
  for (const Json& value : list) {
    buckets.push_back(settings.integer_of(key, value, "model.lsh.buckets"));
    if (buckets.back() % 2 != 0) settings.refuse(key, "is odd", "even numbers, or null");
    if (buckets.back() > kLargestBucketCount / product) {
      settings.refuse(key, "has too large a product",
                      fmt::format("products up to {}", kLargestBucketCount));
    }
    product *= buckets.back();
  }
  if (buckets.empty())
    settings.refuse(key, "is an empty list", "a number, a list of some, or null");
  return buckets;
}

void require_look_back(JsonSettings& settings, const std::string& kind) {
  const std::string what = "a query sees its own chunk and the one before";
  settings.require(kind + "_num_chunks_before", 1, 1, "is not computed here: " + what);
  settings.require(kind + "_num_chunks_after", 0, 0, "is not computed here: " + what);
}

void read_attention(JsonSettings& settings, config::Model& model) {
  const bool bidirectional = !settings.boolean("is_decoder", false);
  if (has_layer(model, config::Model::LSH)) {
    config::Lsh& lsh = *model.mutable_lsh();
    lsh.set_mode(config::Lsh::CHUNKED);
    lsh.set_bidirectional(bidirectional);
    lsh.set_chunk_length(settings.integer("lsh_attn_chunk_length", 64, "model.lsh.chunk_length"));
    lsh.set_rounds(settings.integer("num_hashes", 1, "model.lsh.rounds"));
    require_look_back(settings, "lsh");
    if (model.max_length() <= longest_unhashed(lsh)) {
      settings.refuse(
          "max_position_embeddings",
          fmt::format("is too short to hash with lsh_attn_chunk_length {}", lsh.chunk_length()),
          fmt::format("more than {}", longest_unhashed(lsh)));
    }
    for (const int64_t factor : read_buckets(settings, model.max_length(), lsh.chunk_length())) {
      lsh.add_buckets(factor);
    }
  } else if (bidirectional) {
    settings.refuse("is_decoder",
                    "makes local layers alone bidirectional, which has no setting here",
                    "true, or \"lsh\" among attn_layers");
  }
  if (has_layer(model, config::Model::LOCAL)) {
    model.mutable_local()->set_chunk_length(
        settings.integer("local_attn_chunk_length", 64, "model.local.chunk_length"));
    require_look_back(settings, "local");
  }
}

void read_positions(JsonSettings& settings, config::Model& model) {
  constexpr size_t kMostAxes = 4;
  config::Positions& positions = *model.mutable_positions();
  const std::vector<int64_t> extents =
      settings.integers("axial_pos_shape", {64, 64}, "model.positions.shape");
  const std::vector<int64_t> widths =
      settings.integers("axial_pos_embds_dim", {64, 192}, "model.positions.widths");
  if (!settings.boolean("axial_pos_embds", true)) {
    positions.set_kind(config::Positions::LEARNED);
    return;
  }
  positions.set_kind(config::Positions::AXIAL);
  if (extents.size() > kMostAxes)
    settings.refuse("axial_pos_shape", "has too many axes", "up to 4");
  if (widths.size() != extents.size()) {
    settings.refuse("axial_pos_embds_dim",
                    fmt::format("does not fit the {} axes of axial_pos_shape", extents.size()),
                    "a width for each");
  }
  int64_t sum = 0;
  for (const int64_t width : widths) sum += width;
  if (sum != model.width()) {
    settings.refuse("axial_pos_embds_dim",
                    fmt::format("adds up to {}, and hidden_size is {}", sum, model.width()),
                    fmt::format("widths that add up to {}", model.width()));
  }
  int64_t product = 1;  // four extents below 2^25 would overflow
  for (const int64_t extent : extents) product = std::min(product * extent, model.max_length());
  if (product < model.max_length()) {
    settings.refuse("axial_pos_shape",
                    fmt::format("has {} positions, and max_position_embeddings is {}", product,
                                model.max_length()),
                    fmt::format("extents whose product is at least {}", model.max_length()));
  }
  for (const int64_t extent : extents) positions.add_shape(extent);
  for (const int64_t width : widths) positions.add_widths(width);
}

void read_dropout(JsonSettings& settings, HuggingFaceModel& read) {
  config::Model& model = read.model;
  model.set_dropout(settings.real("hidden_dropout_prob", 0.05, "model.dropout"));
  const double lsh =
      settings.real("lsh_attention_probs_dropout_prob", 0, "model.attention_dropout");
  const double local =
      settings.real("local_attention_probs_dropout_prob", 0.05, "model.attention_dropout");
  const bool hashed = has_layer(model, config::Model::LSH);
  model.set_attention_dropout(hashed ? lsh : local);
  if (!hashed || !has_layer(model, config::Model::LOCAL) || lsh == local) return;
  read.notes.push_back(
      fmt::format("attention dropout is one number here: {} as in the LSH layers, where the LOCAL "
                  "ones had {}; --set model.attention_dropout=… sets another",
                  lsh, local));
}

}  // namespace

HuggingFaceModel read_hugging_face_config(const std::string& text, const std::string& name) {
  JsonSettings settings(text, name);
  HuggingFaceModel read;
  settings.require("model_type", nullptr, "reformer", "is another kind of model");
  settings.require("tie_word_embeddings", false, false, "cannot be: the head is twice as wide");
  settings.require("sinusoidal_pos_embds", false, false, "is not computed here");
  settings.require("pruned_heads", Json::object(), Json::object(), "is not computed here");
  read_layers(settings, read.model);
  read_sizes(settings, read.model);
  read_attention(settings, read.model);
  read_positions(settings, read.model);
  read_dropout(settings, read);
  if (read.model.lsh().bidirectional()) {
    read.notes.push_back(
        "is_decoder false: a token sees the next one, which it is asked for here, so its loss is "
        "no likelihood");
  }
  const Json* const hash_seed = settings.find("hash_seed");
  if (hash_seed != nullptr && !hash_seed->is_null()) {
    read.notes.push_back(
        fmt::format("hash_seed {} is left out of account: rotations are drawn anew in every step",
                    hash_seed->dump()));
  }
  // Of layers that are not there.
  for (const char* const key :
       {"lsh_attn_chunk_length", "lsh_num_chunks_before", "lsh_num_chunks_after", "num_hashes",
        "num_buckets", "local_attn_chunk_length", "local_num_chunks_before",
        "local_num_chunks_after"}) {
    settings.find(key);
  }
  const std::vector<std::string> unknown = settings.unknown_keys(kWithoutEffect);
  if (!unknown.empty()) {
    read.notes.push_back(
        fmt::format("left out of account, because unknown here: {}", fmt::join(unknown, ", ")));
  }
  return read;
}

}  // namespace reformer
