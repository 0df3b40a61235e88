#include "trainer/weights/safetensors.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr size_t kLongestHeader = 100'000'000;  // the format's own limit

/// Bytes of one element; 0 for a dtype that is not known.
size_t size_of_stored(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64") return 8;
  if (dtype == "F32" || dtype == "I32") return 4;
  if (dtype == "F16" || dtype == "BF16") return 2;
  if (dtype == "U8" || dtype == "BOOL") return 1;
  return 0;
}

template <typename T>
T load(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

float from_bfloat16(uint16_t bits) {
  const uint32_t wide = uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

float from_float16(uint16_t bits) {
  const int exponent = bits >> 10 & 0x1f;
  const auto fraction = static_cast<float>(bits & 0x3ff);
  const float sign = bits & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  if (exponent == 31) {
    return fraction == 0 ? sign * std::numeric_limits<float>::infinity()
                         : std::numeric_limits<float>::quiet_NaN();
  }
  return sign * std::ldexp(1024.0f + fraction, exponent - 25);
}

/// Element `bytes` of a stored dtype as a floating-point number.
double real_at(const std::string& dtype, const uint8_t* bytes) {
  if (dtype == "F32") return static_cast<double>(load<float>(bytes));
  if (dtype == "F64") return load<double>(bytes);
  const auto half = load<uint16_t>(bytes);
  return static_cast<double>(dtype == "BF16" ? from_bfloat16(half) : from_float16(half));
}

int64_t integer_at(const std::string& dtype, const uint8_t* bytes) {
  if (dtype == "I64") return load<int64_t>(bytes);
  if (dtype == "I32") return load<int32_t>(bytes);
  return *bytes;
}

bool is_real(const std::string& dtype) {
  return dtype == "F64" || dtype == "F32" || dtype == "F16" || dtype == "BF16";
}

bool is_real(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kFloat64;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : path_(path), file_(path) {
  const std::span<const uint8_t> bytes = file_.bytes();
  if (bytes.size() < kLengthBytes) fail("is too short to be a safetensors file");
  const auto header_bytes = load<uint64_t>(bytes.data());
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
      Entry entry{.dtype = tensor.at("dtype").get<std::string>(), .shape = {}};
      const auto extents = tensor.at("shape").get<std::vector<int64_t>>();
      const auto offsets = tensor.at("data_offsets").get<std::vector<uint64_t>>();
      if (extents.size() > Shape::kMaxRank || offsets.size() != 2) fail(name + " has a bad shape");
      int64_t elements = 1;
      for (const int64_t extent : extents) {
        if (extent < 0 || (extent > 0 && elements > (int64_t{1} << 48) / extent)) {
          fail(name + " has a bad shape");
        }
        elements *= extent;
      }
      entry.shape = Shape(extents);
      entry.begin = offsets[0];
      entry.end = offsets[1];
      const size_t size = size_of_stored(entry.dtype);
      if (entry.begin > entry.end || entry.end > bytes.size() - data_begin ||
          (size > 0 && entry.end - entry.begin != size * static_cast<size_t>(elements))) {
        fail(fmt::format("{} does not lie in the file with its shape; it may be cut off", name));
      }
      entry.begin += data_begin;
      entry.end += data_begin;
      entries_.emplace(name, entry);
    }
  } catch (const nlohmann::json::exception& error) {
    fail(fmt::format("has a damaged header: {}", error.what()));
  }
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

Tensor SafetensorsFile::read(const std::string& name, DType dtype) const {
  const Entry& entry = find(name);
  const size_t size = size_of_stored(entry.dtype);
  const bool possible =
      size > 0 && is_real(entry.dtype) == is_real(dtype) && dtype != DType::kFixed32;
  if (!possible) {
    fail(fmt::format("{} is stored as {} and cannot be read as {}", name, entry.dtype,
                     name_of(dtype)));
  }
  Tensor tensor(dtype, entry.shape);
  const uint8_t* const bytes = file_.bytes().data() + entry.begin;
  const auto convert = [&]<typename T>(T* values, const auto& at) {
    for (int64_t i = 0; i < tensor.elements(); ++i) {
      const auto value = at(entry.dtype, bytes + static_cast<size_t>(i) * size);
      values[i] = static_cast<T>(value);
      if constexpr (std::is_integral_v<T>) {
        if (static_cast<int64_t>(values[i]) != value) {
          fail(fmt::format("{} has the value {}, which {} cannot hold", name, value,
                           name_of(dtype)));
        }
      }
    }
  };
  switch (dtype) {
    case DType::kFloat32:
      convert(tensor.data<float>(), real_at);
      break;
    case DType::kFloat64:
      convert(tensor.data<double>(), real_at);
      break;
    case DType::kInt32:
      convert(tensor.data<int32_t>(), integer_at);
      break;
    case DType::kInt64:
      convert(tensor.data<int64_t>(), integer_at);
      break;
    case DType::kUint8:
      convert(tensor.data<uint8_t>(), integer_at);
      break;
    case DType::kFixed32:
      break;
  }
  return tensor;
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

const SafetensorsFile::Entry& SafetensorsFile::find(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) fail(fmt::format("has no tensor {}", name));
  return found->second;
}

void SafetensorsFile::fail(const std::string& message) const {
  throw DataError(fmt::format("{}: {}", path_, message));
}

}  // namespace reformer
