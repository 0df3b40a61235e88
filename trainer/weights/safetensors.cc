#include "trainer/weights/safetensors.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr size_t kLongestHeader = 100'000'000;  // the format's own limit

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : TensorFile(path), file_(path) {
  const std::span<const uint8_t> bytes = file_.bytes();
  if (bytes.size() < kLengthBytes) fail("is too short to be a safetensors file");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), sizeof(header_bytes));
  if (header_bytes > kLongestHeader || header_bytes > bytes.size() - kLengthBytes) {
    fail("is no safetensors file, or cut off: its header would not fit into it");
  }
  const size_t data_begin = kLengthBytes + header_bytes;
  const nlohmann::json header = nlohmann::json::parse(
      bytes.data() + kLengthBytes, bytes.data() + data_begin, nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) fail("has a damaged header");
  try {
    for (const auto& [name, tensor] : header.items()) {
      if (name == "__metadata__") continue;
      const auto extents = tensor.at("shape").get<std::vector<int64_t>>();
      const auto offsets = tensor.at("data_offsets").get<std::vector<uint64_t>>();
      if (offsets.size() != 2) fail(name + " has a bad place");
      Entry entry{.dtype = tensor.at("dtype").get<std::string>(),
                  .shape = checked_shape(name, extents)};
      entry.begin = offsets[0];
      entry.end = offsets[1];
      const size_t size = size_of_stored(entry.dtype);
      if (entry.begin > entry.end || entry.end > bytes.size() - data_begin ||
          (size > 0 &&
           entry.end - entry.begin != size * static_cast<size_t>(entry.shape.elements()))) {
        fail(fmt::format("{} does not lie in the file with its shape; it may be cut off", name));
      }
      entry.begin += data_begin;
      entry.end += data_begin;
      add(name, entry);
    }
  } catch (const nlohmann::json::exception& error) {
    fail(fmt::format("has a damaged header: {}", error.what()));
  }
}

std::span<const uint8_t> SafetensorsFile::elements_of(const std::string&,
                                                      const Entry& entry) const {
  return file_.bytes().subspan(entry.begin, entry.end - entry.begin);
}

void write_safetensors(const std::string& path, const std::vector<StoredTensor>& tensors) {
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};  // transformers insists
  size_t end = 0;
  for (const StoredTensor& tensor : tensors) {
    const View& values = tensor.values.view();
    CHECK_EQ(values.dtype(), DType::kFloat32);
    std::vector<int64_t> extents;
    for (int i = 0; i < values.shape().rank(); ++i) extents.push_back(values.shape()[i]);
    header[tensor.name] = {
        {"dtype", "F32"}, {"shape", extents}, {"data_offsets", {end, end + values.bytes()}}};
    end += values.bytes();
  }
  std::string text = header.dump();
  text.append((kLengthBytes - text.size() % kLengthBytes) % kLengthBytes, ' ');  // aligns the data

  const std::string partial = path + ".partial";
  std::ofstream file(partial, std::ios::binary | std::ios::trunc);
  const uint64_t length = text.size();
  file.write(reinterpret_cast<const char*>(&length), sizeof(length));
  file << text;
  for (const StoredTensor& tensor : tensors) {
    file.write(static_cast<const char*>(tensor.values.view().raw()),
               static_cast<std::streamsize>(tensor.values.view().bytes()));
  }
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(partial, path, error);
  if (file && !error) return;
  const std::string reason = error ? error.message() : std::strerror(errno);
  std::filesystem::remove(partial, error);
  throw DataError(fmt::format("{}: cannot be written: {}", path, reason));
}

}  // namespace reformer
