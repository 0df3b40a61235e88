#include "trainer/weights/torch_file.h"

#include <limits>

#include <fmt/format.h>

namespace reformer {
namespace {

using Kind = PickleValue::Kind;

struct StorageKind {
  const char* global;
  const char* dtype;
};

constexpr StorageKind kStorageKinds[] = {
    {"torch FloatStorage", "F32"},     {"torch DoubleStorage", "F64"}, {"torch HalfStorage", "F16"},
    {"torch BFloat16Storage", "BF16"}, {"torch LongStorage", "I64"},   {"torch IntStorage", "I32"},
    {"torch ByteStorage", "U8"},       {"torch BoolStorage", "BOOL"},
};

/// The arguments if `value` is a call of `global` with at least `count` of them, else nullptr.
const std::vector<const PickleValue*>* arguments_of(const PickleValue& value, const char* global,
                                                    size_t count) {
  if (!value.is(Kind::kCall) || value.items[0]->text != global) return nullptr;
  const std::vector<const PickleValue*>& arguments = value.items[1]->items;
  return arguments.size() >= count ? &arguments : nullptr;
}

bool are_integers(const PickleValue& tuple) {
  if (!tuple.is(Kind::kTuple)) return false;
  for (const PickleValue* const item : tuple.items) {
    if (!item->is(Kind::kInteger)) return false;
  }
  return true;
}

std::vector<int64_t> integers_of(const PickleValue& tuple) {
  std::vector<int64_t> integers;
  for (const PickleValue* const item : tuple.items) integers.push_back(item->integer);
  return integers;
}

/// One element after the other, the last dimension fastest; where an extent is 1 any stride will
/// do.
bool is_dense(const Shape& shape, const std::vector<int64_t>& strides) {
  if (shape.elements() == 0) return true;
  int64_t expected = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    if (shape[i] != 1 && strides[static_cast<size_t>(i)] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

}  // namespace

TorchFile::TorchFile(const std::string& path)
    : TensorFile(path), container_(open_torch_container(path)) {
  const PickleValue& root = container_->pickle().value();
  if (!root.is(Kind::kDictionary)) fail("holds no dictionary of tensors");
  for (size_t i = 0; i < root.items.size(); i += 2) {
    if (!root.items[i]->is(Kind::kText)) fail("has a tensor without a name");
    add_tensor(root.items[i]->text, *root.items[i + 1]);
  }
  std::vector<TorchStorage> storages;
  for (const auto& [key, storage] : storages_) storages.push_back(storage);
  container_->locate(storages);
}

void TorchFile::add_tensor(const std::string& name, const PickleValue& value) {
  const auto* const parameter = arguments_of(value, "torch._utils _rebuild_parameter", 1);
  const auto* const tensor = arguments_of(parameter != nullptr ? *parameter->front() : value,
                                          "torch._utils _rebuild_tensor_v2", 4);
  if (tensor == nullptr) fail(fmt::format("{} is no tensor", name));
  const PickleValue& offset = *(*tensor)[1];
  const PickleValue& extents = *(*tensor)[2];
  const PickleValue& strides = *(*tensor)[3];
  if (!offset.is(Kind::kInteger) || !are_integers(extents) || !are_integers(strides) ||
      extents.items.size() != strides.items.size()) {
    fail(fmt::format("{} has a bad shape", name));
  }
  Entry entry{.dtype = "", .shape = checked_shape(name, integers_of(extents))};
  const TorchStorage& storage = add_storage(name, *(*tensor)[0], &entry.dtype);
  if (!is_dense(entry.shape, integers_of(strides))) {
    fail(fmt::format("{} is not contiguous; tensor.contiguous() before torch.save makes it so",
                     name));
  }
  const auto stored = static_cast<int64_t>(storage.bytes / storage.element_bytes);
  if (offset.integer < 0 || offset.integer > stored ||
      entry.shape.elements() > stored - offset.integer) {
    fail(fmt::format("{} does not lie in its storage", name));
  }
  entry.begin = static_cast<size_t>(offset.integer) * storage.element_bytes;
  entry.end = entry.begin + static_cast<size_t>(entry.shape.elements()) * storage.element_bytes;
  key_of_[name] = storage.key;
  add(name, std::move(entry));
}

const TorchStorage& TorchFile::add_storage(const std::string& name, const PickleValue& value,
                                           std::string* dtype) {
  // ("storage", kind, key, device, elements), and None in old files.
  if (!value.is(Kind::kPersistent) || !value.items[0]->is(Kind::kTuple)) {
    fail(fmt::format("{} has no storage", name));
  }
  const std::vector<const PickleValue*>& id = value.items[0]->items;
  const bool known = (id.size() == 5 || (id.size() == 6 && id[5]->is(Kind::kNone))) &&
                     id[0]->text == "storage" && id[1]->is(Kind::kGlobal) &&
                     id[2]->is(Kind::kText) && id[4]->is(Kind::kInteger);
  if (!known) fail(fmt::format("{} has a storage of an unknown form", name));
  for (const StorageKind& kind : kStorageKinds) {
    if (id[1]->text == kind.global) *dtype = kind.dtype;
  }
  const size_t size = size_of_stored(*dtype);
  const int64_t elements = id[4]->integer;
  if (size == 0 || elements < 0 || elements > std::numeric_limits<int64_t>::max() / 8) {
    fail(fmt::format("{} has a storage of an unknown form", name));
  }
  const TorchStorage storage{
      .key = id[2]->text, .bytes = static_cast<size_t>(elements) * size, .element_bytes = size};
  const auto [place, is_new] = storages_.emplace(storage.key, storage);
  if (!is_new && (place->second.bytes != storage.bytes || place->second.element_bytes != size)) {
    fail(fmt::format("storage {} has two sizes", storage.key));
  }
  return place->second;
}

std::span<const uint8_t> TorchFile::elements_of(const std::string& name, const Entry& entry) const {
  return container_->read(key_of_.at(name)).subspan(entry.begin, entry.end - entry.begin);
}

}  // namespace reformer
