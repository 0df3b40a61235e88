// The weights that PyTorch's torch.save has written: pytorch_model.bin.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "trainer/weights/tensor_file.h"
#include "trainer/weights/torch_container.h"

namespace reformer {

/// A dictionary of tensors by name, opened for reading. Nothing in the file is executed. All is
/// checked before use: every tensor is dense, row-major and lies in its storage, every storage in
/// the file.
class TorchFile final : public TensorFile {
 public:
  /// Throws DataError, naming the file and the tensor, when it is missing, damaged or anything else
  /// than a dictionary of such tensors.
  explicit TorchFile(const std::string& path);

 private:
  std::span<const uint8_t> elements_of(const std::string& name, const Entry& entry) const override;

  void add_tensor(const std::string& name, const PickleValue& value);
  /// Notes the storage that a persistent value stands for.
  const TorchStorage& add_storage(const std::string& name, const PickleValue& value,
                                  std::string* dtype);

  std::unique_ptr<TorchContainer> container_;
  std::unordered_map<std::string, TorchStorage> storages_;  // by key
  std::unordered_map<std::string, std::string> key_of_;     // of the storage, by tensor
};

}  // namespace reformer
