// Small models of sentencepiece, trained on the novel beside the configurations.
#pragma once

#include <string>
#include <unordered_map>

#include <gtest/gtest.h>
#include <sentencepiece_trainer.h>

namespace reformer::testing {

/// A model as its file has it. `options` are those of spm_train.
inline std::string train_sentencepiece(
    const std::unordered_map<std::string, std::string>& options) {
  std::unordered_map<std::string, std::string> all = {{"input", "configs/persuasion.txt"},
                                                      {"input_sentence_size", "2000"},
                                                      {"model_type", "bpe"},
                                                      {"vocab_size", "320"},
                                                      {"num_threads", "1"},
                                                      {"minloglevel", "2"}};
  for (const auto& [name, value] : options) all[name] = value;
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(all, nullptr, &model);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return model;
}

/// Knows bytes, so line breaks and any character.
inline const std::string& model_with_bytes() {
  static const std::string model =
      train_sentencepiece({{"byte_fallback", "true"}, {"vocab_size", "480"}});
  return model;
}

/// Knows the characters of the novel alone.
inline const std::string& model_without_bytes() {
  static const std::string model = train_sentencepiece({});
  return model;
}

}  // namespace reformer::testing
