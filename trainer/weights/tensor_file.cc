#include "trainer/weights/tensor_file.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

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

size_t size_of_stored(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64") return 8;
  if (dtype == "F32" || dtype == "I32") return 4;
  if (dtype == "F16" || dtype == "BF16") return 2;
  if (dtype == "U8" || dtype == "BOOL") return 1;
  return 0;
}

std::vector<std::string> TensorFile::names() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) names.push_back(name);
  return names;
}

Tensor TensorFile::read(const std::string& name, DType dtype) const {
  const Entry& entry = find(name);
  const size_t size = size_of_stored(entry.dtype);
  const bool possible =
      size > 0 && is_real(entry.dtype) == is_real(dtype) && dtype != DType::kFixed32;
  if (!possible) {
    fail(fmt::format("{} is stored as {} and cannot be read as {}", name, entry.dtype,
                     name_of(dtype)));
  }
  Tensor tensor(dtype, entry.shape);
  const std::span<const uint8_t> elements = elements_of(name, entry);
  const uint8_t* const bytes = elements.data();
  CHECK_EQ(elements.size(), static_cast<size_t>(tensor.elements()) * size);
  if (entry.dtype == "F32" && dtype == DType::kFloat32) {
    std::copy(elements.begin(), elements.end(), static_cast<uint8_t*>(tensor.view().raw()));
    return tensor;
  }
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
    case DType::kBFloat16:
      break;
  }
  return tensor;
}

Shape TensorFile::checked_shape(const std::string& name, std::span<const int64_t> extents) const {
  constexpr int64_t kMostElements = int64_t{1} << 48;
  if (extents.size() > Shape::kMaxRank) fail(name + " has a bad shape");
  int64_t elements = 1;
  for (const int64_t extent : extents) {
    if (extent < 0 || (extent > 0 && elements > kMostElements / extent)) {
      fail(name + " has a bad shape");
    }
    elements *= extent;
  }
  return Shape(extents);
}

const TensorFile::Entry& TensorFile::find(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) fail(fmt::format("has no tensor {}", name));
  return found->second;
}

void TensorFile::fail(std::string message) const {
  const auto is_control = [](char c) { return std::iscntrl(static_cast<unsigned char>(c)) != 0; };
  std::replace_if(message.begin(), message.end(), is_control, '?');  // names come from the file
  throw DataError(fmt::format("{}: {}", path_, message));
}

}  // namespace reformer
