// Trains a small model of sentencepiece for the tests of the `reformer` program, in place of
// spm_train, which another package has. Usage: train_tokenizer TEXT MODEL PIECES
#include <cstdio>
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <sentencepiece_trainer.h>

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "usage: train_tokenizer TEXT MODEL PIECES\n");
    return 2;
  }
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train({{"input", argv[1]},
                                                                  {"model_type", "bpe"},
                                                                  {"byte_fallback", "true"},
                                                                  {"vocab_size", argv[3]},
                                                                  {"num_threads", "1"},
                                                                  {"minloglevel", "2"}},
                                                                 nullptr, &model);
  std::ofstream file(argv[2], std::ios::binary);
  if (status.ok() && file << model && file.flush()) return 0;
  fmt::print(stderr, "train_tokenizer: {}\n", status.ToString());
  return 1;
}
