// What the checkpoint tests share: a directory of their own, tensors of every dtype, and damage.
#pragma once

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "kernels/core/errors.h"
#include "kernels/core/view.h"
#include "trainer/checkpoint/checkpoint.h"

namespace reformer::testing {

/// An empty directory that is removed at the end of its scope.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "checkpoint-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// Fills every byte with a pattern that depends on `seed` and has no period of a block.
inline void fill(const Tensor& tensor, uint32_t seed) {
  auto* const bytes = static_cast<uint8_t*>(tensor.view().raw());
  uint32_t state = seed * 2654435761u + 1;
  for (size_t i = 0; i < tensor.view().bytes(); ++i) {
    state = state * 1664525u + 1013904223u;
    bytes[i] = static_cast<uint8_t>(state >> 24);
  }
}

/// Small tensors of every dtype, a scalar and an empty one among them.
inline std::vector<NamedTensor> small_tensors() {
  std::vector<NamedTensor> tensors;
  tensors.push_back({"weight", Tensor(DType::kFloat32, {3, 5})});
  tensors.push_back({"sums", Tensor(DType::kInt64, {2})});
  tensors.push_back({"empty", Tensor(DType::kFloat32, {0, 4})});
  tensors.push_back({"scalar", Tensor(DType::kFloat64, {})});
  tensors.push_back({"tokens", Tensor(DType::kInt32, {1, 2, 1, 1, 1})});
  tensors.push_back({"streams", Tensor(DType::kFixed32, {1})});
  tensors.push_back({"mask", Tensor(DType::kUint8, {7})});
  for (size_t i = 0; i < tensors.size(); ++i) fill(tensors[i].tensor, static_cast<uint32_t>(i));
  return tensors;
}

/// One tensor of two blocks and a part, so that blocks and tensors do not begin together.
inline std::vector<NamedTensor> large_tensors() {
  std::vector<NamedTensor> tensors = small_tensors();
  tensors.push_back({"table", Tensor(DType::kFloat32, {1000, 600})});
  fill(tensors.back().tensor, 77);
  return tensors;
}

/// Saves `tensors` as the checkpoint of `step` and returns its path.
inline std::string save(const std::string& directory, int64_t step,
                        const std::vector<NamedTensor>& tensors, int64_t keep = 100) {
  CheckpointWriter writer(directory, 0);
  for (const NamedTensor& tensor : tensors) writer.add(tensor.name, tensor.tensor.view());
  checkpoint::Manifest manifest;
  manifest.set_step(step);
  manifest.set_config("model { width: 8 }");
  manifest.set_numeric_identity("test");
  return writer.commit(std::move(manifest), keep);
}

/// Reads everything back; every byte must be as it was.
inline void expect_holds(const std::string& path, const std::vector<NamedTensor>& tensors) {
  const CheckpointReader reader(path);
  for (const NamedTensor& expected : tensors) {
    const Tensor actual(expected.tensor.view().dtype(), expected.tensor.shape());
    reader.read(expected.name, actual.view());
    EXPECT_TRUE(
        actual.view().bytes() == 0 ||
        std::memcmp(actual.view().raw(), expected.tensor.view().raw(), actual.view().bytes()) == 0)
        << expected.name;
  }
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

inline void flip_bit(const std::string& path, size_t bit) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(static_cast<std::streamoff>(bit / 8));
  const auto byte = static_cast<char>(file.get() ^ (1 << (bit % 8)));
  file.seekp(static_cast<std::streamoff>(bit / 8));
  file.put(byte);
}

/// The message of the CheckpointError that `action` throws; empty if it throws none.
inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const CheckpointError& error) {
    return error.what();
  }
  return "";
}

inline void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_PRED_FORMAT2(::testing::IsSubstring, part, text);
}

/// Names in a directory, sorted.
inline std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace reformer::testing
