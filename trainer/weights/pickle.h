// Python's pickle format, as far as torch.save needs it for a dictionary of tensors. It is read as
// data: a pickle is a program that may call any function of Python's, and here none is called.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace reformer {

struct PickleValue {
  enum class Kind {
    kNone,
    kBool,        // integer
    kInteger,     // integer
    kText,        // text
    kTuple,       // items
    kList,        // items
    kDictionary,  // items: key, value, key, value, …
    kGlobal,      // text: "torch._utils _rebuild_tensor_v2"
    kCall,        // items: a global, and the tuple of its arguments
    kPersistent,  // items: the tuple that stands for something outside the pickle
  };

  Kind kind = Kind::kNone;
  int64_t integer = 0;
  std::string text;
  std::vector<const PickleValue*> items;

  bool is(Kind other) const { return kind == other; }
};

/// One pickle of protocol 2, in memory. It owns its values, which may refer to one another in
/// circles.
class Pickle {
 public:
  /// Reads the pickle at the beginning of `bytes`, which may go on behind it. Throws DataError that
  /// begins with `name` when it is damaged, or uses anything that torch.save does not write: an
  /// opcode, which is named, or a global beside those of torch's tensors and storages and
  /// OrderedDict.
  Pickle(std::span<const uint8_t> bytes, const std::string& name);

  const PickleValue& value() const { return *value_; }
  size_t bytes() const { return bytes_; }

 private:
  std::vector<std::unique_ptr<PickleValue>> values_;
  const PickleValue* value_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace reformer
