// The two forms of file that torch.save writes: a pickle, and the elements of the storages that it
// speaks of. Since PyTorch 1.6 that is a ZIP archive; before, they stood one after the other.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trainer/weights/pickle.h"

namespace reformer {

struct TorchStorage {
  std::string key;
  size_t bytes = 0;
  size_t element_bytes = 0;
};

class TorchContainer {
 public:
  virtual ~TorchContainer() = default;

  virtual const Pickle& pickle() const = 0;

  /// Finds all storages. REQUIRES: they are those of the pickle, each once. Throws DataError when
  /// one is missing or has another size.
  virtual void locate(const std::vector<TorchStorage>& storages) = 0;

  /// The elements of a storage, little-endian; valid until the next call. REQUIRES: it was located.
  /// Throws DataError when it is damaged, as far as the file can tell: an archive has checksums.
  virtual std::span<const uint8_t> read(const std::string& key) = 0;
};

/// Throws DataError, naming the file.
std::unique_ptr<TorchContainer> open_torch_container(const std::string& path);

}  // namespace reformer
