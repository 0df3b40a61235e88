// The config.json of Hugging Face's Reformer (transformers 4) as a model of ours.
#pragma once

#include <string>
#include <vector>

#include "configs/run.pb.h"

namespace reformer {

struct HuggingFaceModel {
  config::Model model;             // LSH layers are CHUNKED; max_length is that of the positions
  std::vector<std::string> notes;  // what a person should know: settings that were not taken over
};

/// Reads the text of a config.json; what it leaves out has the library's default. `name` stands for
/// the file in messages. Throws ConfigError, in one line with the key, its value and what is legal,
/// when the text is no such file, or asks for anything that would be computed otherwise here.
HuggingFaceModel read_hugging_face_config(const std::string& text, const std::string& name);

}  // namespace reformer
