#include "trainer/weights/torch_container.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "kernels/core/check.h"
#include "kernels/core/errors.h"
#include "trainer/data/mapped_file.h"
#include "trainer/weights/zip_archive.h"

namespace reformer {
namespace {

constexpr uint8_t kZipMagic[] = {'P', 'K', 3, 4};
// A pickle of the number 0x1950a86a20f9469cfc6c.
constexpr uint8_t kOldMagic[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

bool begins_with(std::span<const uint8_t> bytes, std::span<const uint8_t> magic) {
  return bytes.size() >= magic.size() && std::equal(magic.begin(), magic.end(), bytes.begin());
}

[[noreturn]] void fail(const std::string& path, const std::string& message) {
  throw DataError(fmt::format("{}: {}", path, message));
}

/// Entries NAME/data.pkl, NAME/data/KEY for each storage, NAME/byteorder and others.
class ArchiveContainer final : public TorchContainer {
 public:
  explicit ArchiveContainer(const std::string& path)
      : path_(path), archive_(path), folder_(find_folder()), pickle_(read_pickle()) {
    const std::string order = folder_ + "byteorder";
    if (!archive_.has(order)) return;
    const std::vector<uint8_t> text = archive_.read(order);
    if (std::string(text.begin(), text.end()) != "little") fail(path, "is not little-endian");
  }

  const Pickle& pickle() const override { return pickle_; }

  void locate(const std::vector<TorchStorage>& storages) override {
    for (const TorchStorage& storage : storages) {
      const size_t bytes = archive_.size_of(entry_of(storage.key));
      if (bytes == storage.bytes) continue;
      fail(path_, fmt::format("entry {} has {} bytes, and its storage takes {}",
                              entry_of(storage.key), bytes, storage.bytes));
    }
  }

  std::span<const uint8_t> read(const std::string& key) override {
    if (key != key_) storage_ = archive_.read(entry_of(key));
    key_ = key;
    return storage_;
  }

 private:
  static constexpr const char* kPickle = "data.pkl";

  std::string find_folder() const {
    for (const std::string& name : archive_.names()) {
      const size_t slash = name.find('/');
      if (slash != std::string::npos && name.substr(slash + 1) == kPickle) {
        return name.substr(0, slash + 1);
      }
    }
    fail(path_, "is an archive without data.pkl: torch.save did not write it");
  }

  Pickle read_pickle() const {
    const std::vector<uint8_t> bytes = archive_.read(folder_ + kPickle);
    return Pickle(bytes, path_);
  }

  std::string entry_of(const std::string& key) const { return folder_ + "data/" + key; }

  std::string path_;
  ZipArchive archive_;
  std::string folder_;  // with its slash
  Pickle pickle_;
  std::optional<std::string> key_;  // of the storage that was read last
  std::vector<uint8_t> storage_;
};

/// Five pickles: a magic number, the version of the protocol, sizes of types, what was saved, and
/// the keys of all storages. Then each storage: its elements as a count in eight bytes, and they.
class OldContainer final : public TorchContainer {
 public:
  explicit OldContainer(const std::string& path) : path_(path), file_(path) {
    rest_ = file_.bytes().subspan(sizeof(kOldMagic));
    const Pickle version = next();
    constexpr int64_t kVersion = 1001;
    if (!version.value().is(PickleValue::Kind::kInteger) || version.value().integer != kVersion) {
      fail(path_, fmt::format("is not of version {} of the form before PyTorch 1.6", kVersion));
    }
    require_little_endian(next());
    pickle_ = std::make_unique<Pickle>(next());
  }

  const Pickle& pickle() const override { return *pickle_; }

  void locate(const std::vector<TorchStorage>& storages) override {
    const Pickle keys = next();
    if (!keys.value().is(PickleValue::Kind::kList)) fail(path_, "has no list of storages");
    std::map<std::string, TorchStorage> by_key;
    for (const TorchStorage& storage : storages) by_key.emplace(storage.key, storage);
    for (const PickleValue* const key : keys.value().items) {
      const auto found = by_key.find(key->text);
      if (found == by_key.end()) {
        fail(path_, fmt::format("storage {} belongs to no tensor", key->text));
      }
      const TorchStorage& storage = found->second;
      uint64_t elements = 0;
      const std::span<const uint8_t> count = take(sizeof(elements), key->text);
      std::memcpy(&elements, count.data(), sizeof(elements));
      if (elements != storage.bytes / storage.element_bytes) {
        fail(path_, fmt::format("storage {} has {} elements, and its tensors say {}", key->text,
                                elements, storage.bytes / storage.element_bytes));
      }
      places_[key->text] = take(storage.bytes, key->text);
    }
    for (const TorchStorage& storage : storages) {
      if (places_.count(storage.key) == 0) {
        fail(path_, fmt::format("has no storage {}", storage.key));
      }
    }
  }

  std::span<const uint8_t> read(const std::string& key) override {
    const auto found = places_.find(key);
    CHECK(found != places_.end());
    return found->second;
  }

 private:
  Pickle next() {
    Pickle pickle(rest_, path_);
    rest_ = rest_.subspan(pickle.bytes());
    return pickle;
  }

  void require_little_endian(const Pickle& system) const {
    const std::vector<const PickleValue*>& items = system.value().items;
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      if (items[i]->text == "little_endian" && items[i + 1]->integer == 1) return;
    }
    fail(path_, "is not little-endian");
  }

  std::span<const uint8_t> take(size_t bytes, const std::string& key) {
    if (rest_.size() < bytes) fail(path_, fmt::format("is cut off in storage {}", key));
    const std::span<const uint8_t> taken = rest_.first(bytes);
    rest_ = rest_.subspan(bytes);
    return taken;
  }

  std::string path_;
  MappedFile file_;
  std::span<const uint8_t> rest_;  // not yet read
  std::unique_ptr<Pickle> pickle_;
  std::map<std::string, std::span<const uint8_t>> places_;
};

}  // namespace

std::unique_ptr<TorchContainer> open_torch_container(const std::string& path) {
  const MappedFile file(path);
  if (begins_with(file.bytes(), kZipMagic)) return std::make_unique<ArchiveContainer>(path);
  if (begins_with(file.bytes(), kOldMagic)) return std::make_unique<OldContainer>(path);
  fail(path, "was not written by torch.save: it is neither an archive nor of the form before it");
}

}  // namespace reformer
