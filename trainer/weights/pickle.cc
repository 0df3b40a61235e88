#include "trainer/weights/pickle.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <unordered_map>

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

using Kind = PickleValue::Kind;

// Far more than any model has names, and little enough for what is built from a damaged file.
constexpr size_t kLongestPickle = size_t{1} << 24;

constexpr const char* kGlobals[] = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch FloatStorage",
    "torch DoubleStorage",
    "torch HalfStorage",
    "torch BFloat16Storage",
    "torch LongStorage",
    "torch IntStorage",
    "torch ByteStorage",
    "torch BoolStorage",
};

struct OpcodeName {
  uint8_t code;
  const char* name;
};

// Of those that are refused, the ones that a person may want to look up.
constexpr OpcodeName kRefused[] = {
    {'F', "FLOAT"},      {'G', "BINFLOAT"},        {'I', "INT"},
    {'S', "STRING"},     {'U', "SHORT_BINSTRING"}, {'T', "BINSTRING"},
    {'V', "UNICODE"},    {'P', "PERSID"},          {'i', "INST"},
    {'o', "OBJ"},        {0x81, "NEWOBJ"},         {0x82, "EXT1"},
    {0x83, "EXT2"},      {0x84, "EXT4"},           {0x8b, "LONG4"},
    {'B', "BINBYTES"},   {'C', "SHORT_BINBYTES"},  {0x8c, "SHORT_BINUNICODE"},
    {0x92, "NEWOBJ_EX"}, {0x93, "STACK_GLOBAL"},   {0x94, "MEMOIZE"},
    {0x95, "FRAME"},     {0x8d, "BINUNICODE8"},    {0x97, "NEXT_BUFFER"},
};

std::string describe(uint8_t opcode) {
  for (const OpcodeName& known : kRefused) {
    if (known.code == opcode) return fmt::format("{} (0x{:02x})", known.name, opcode);
  }
  return fmt::format("0x{:02x}", opcode);
}

/// The stack machine that a pickle is written for.
class Machine {
 public:
  Machine(std::span<const uint8_t> bytes, const std::string& name,
          std::vector<std::unique_ptr<PickleValue>>& values)
      : bytes_(bytes.first(std::min(bytes.size(), kLongestPickle))), name_(name), values_(values) {}

  const PickleValue* run() {
    if (take(1)[0] != 0x80) fail("is no pickle of protocol 2");
    const uint8_t protocol = take(1)[0];
    if (protocol != 2) {
      fail(fmt::format("is a pickle of protocol {}; torch.save writes 2 unless told otherwise",
                       protocol));
    }
    while (true) {
      const uint8_t opcode = take(1)[0];
      if (opcode == '.') return pop();
      execute(opcode);
    }
  }

  size_t position() const { return position_; }

 private:
  void execute(uint8_t opcode) {
    switch (opcode) {
      case '(':
        return marks_.push_back(stack_.size());
      case 'N':
        push(Kind::kNone);
        return;
      case 0x88:
      case 0x89:
        push(Kind::kBool)->integer = opcode == 0x88;
        return;
      case 'K':
      case 'M':
      case 'J':
        push(Kind::kInteger)->integer = take_integer(opcode == 'K' ? 1 : opcode == 'M' ? 2 : 4);
        return;
      case 0x8a: {
        const auto size = static_cast<size_t>(take_integer(1));
        if (size > 8) fail("has an integer of more than 64 bits");
        push(Kind::kInteger)->integer = take_signed(size);
        return;
      }
      case 'X':
        push(Kind::kText)->text = take_text(static_cast<uint32_t>(take_integer(4)));
        return;
      case 'c':
        return push_global();
      case ')':
        push(Kind::kTuple);
        return;
      case ']':
        push(Kind::kList);
        return;
      case '}':
        push(Kind::kDictionary);
        return;
      case 0x85:
      case 0x86:
      case 0x87:
        return push_tuple(pop_many(opcode - 0x84u));
      case 't':
        return push_tuple(pop_to_mark());
      case 'a':
        return append(Kind::kList, pop_many(1));
      case 'e':
        return append(Kind::kList, pop_to_mark());
      case 's':
        return append(Kind::kDictionary, pop_many(2));
      case 'u':
        return append(Kind::kDictionary, pop_to_mark());
      case 'q':
      case 'r':
        memo_[take_integer(opcode == 'q' ? 1 : 4)] = top();
        return;
      case 'h':
      case 'j':
        return push_memo(take_integer(opcode == 'h' ? 1 : 4));
      case 'Q': {
        const PickleValue* const id = pop();
        push(Kind::kPersistent)->items = {id};
        return;
      }
      case 'R':
        return call();
      case 'b':
        pop();  // attributes, such as a state dictionary's _metadata: no tensors among them
        top();
        return;
      default:
        fail(fmt::format("uses the pickle opcode {}, which no dictionary of tensors needs",
                         describe(opcode)));
    }
  }

  void push_global() {
    const std::string module = take_line();
    const std::string global = module + " " + take_line();
    if (std::find(std::begin(kGlobals), std::end(kGlobals), global) == std::end(kGlobals)) {
      fail(fmt::format("wants Python's {}, which no dictionary of tensors needs", global));
    }
    push(Kind::kGlobal)->text = global;
  }

  void push_memo(int64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) fail_damaged();
    stack_.push_back(found->second);
  }

  void push_tuple(std::vector<PickleValue*> items) {
    push(Kind::kTuple)->items.assign(items.begin(), items.end());
  }

  void append(Kind kind, const std::vector<PickleValue*>& items) {
    PickleValue* const container = top();
    const bool pairs = kind == Kind::kDictionary;
    if (container->kind != kind || (pairs && items.size() % 2 != 0)) fail_damaged();
    container->items.insert(container->items.end(), items.begin(), items.end());
  }

  void call() {
    PickleValue* const arguments = pop();
    PickleValue* const global = pop();
    if (!arguments->is(Kind::kTuple) || !global->is(Kind::kGlobal)) fail_damaged();
    if (global->text == "collections OrderedDict") {
      if (!arguments->items.empty()) fail("has an OrderedDict of an unknown form");
      push(Kind::kDictionary);
      return;
    }
    push(Kind::kCall)->items = {global, arguments};
  }

  PickleValue* push(Kind kind) {
    values_.push_back(std::make_unique<PickleValue>());
    values_.back()->kind = kind;
    stack_.push_back(values_.back().get());
    return stack_.back();
  }

  /// What lies above the last mark, or the bottom, is all that an opcode may take.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  PickleValue* top() {
    if (stack_.size() <= floor()) fail_damaged();
    return stack_.back();
  }

  PickleValue* pop() {
    PickleValue* const value = top();
    stack_.pop_back();
    return value;
  }

  std::vector<PickleValue*> pop_many(size_t count) {
    if (stack_.size() - floor() < count) fail_damaged();
    std::vector<PickleValue*> values(stack_.end() - static_cast<std::ptrdiff_t>(count),
                                     stack_.end());
    stack_.resize(stack_.size() - count);
    return values;
  }

  std::vector<PickleValue*> pop_to_mark() {
    if (marks_.empty()) fail_damaged();
    std::vector<PickleValue*> values = pop_many(stack_.size() - marks_.back());
    marks_.pop_back();
    return values;
  }

  const uint8_t* take(size_t count) {
    if (bytes_.size() - position_ < count) fail_damaged();
    const uint8_t* const taken = bytes_.data() + position_;
    position_ += count;
    return taken;
  }

  /// Little-endian; those of four bytes have a sign.
  int64_t take_integer(size_t size) { return size < 4 ? take_unsigned(size) : take_signed(size); }

  int64_t take_unsigned(size_t size) {
    uint64_t value = 0;
    std::memcpy(&value, take(size), size);
    return static_cast<int64_t>(value);
  }

  int64_t take_signed(size_t size) {
    if (size == 0) return 0;
    const size_t shift = 64 - 8 * size;
    return static_cast<int64_t>(static_cast<uint64_t>(take_unsigned(size)) << shift) >> shift;
  }

  std::string take_text(size_t size) {
    return std::string(reinterpret_cast<const char*>(take(size)), size);
  }

  std::string take_line() {
    const auto begin = bytes_.begin() + static_cast<std::ptrdiff_t>(position_);
    const auto end = std::find(begin, bytes_.end(), '\n');
    if (end == bytes_.end()) fail_damaged();
    std::string line(begin, end);
    position_ += line.size() + 1;
    return line;
  }

  [[noreturn]] void fail_damaged() const {
    fail(fmt::format("has a damaged pickle{}, at its byte {}",
                     bytes_.size() == kLongestPickle ? ", or one of more than 16 MiB" : "",
                     position_));
  }

  [[noreturn]] void fail(std::string message) const {
    const auto is_control = [](char c) { return std::iscntrl(static_cast<unsigned char>(c)) != 0; };
    std::replace_if(message.begin(), message.end(), is_control, '?');
    throw DataError(fmt::format("{}: {}", name_, message));
  }

  std::span<const uint8_t> bytes_;
  const std::string& name_;
  std::vector<std::unique_ptr<PickleValue>>& values_;
  std::vector<PickleValue*> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::unordered_map<int64_t, PickleValue*> memo_;
  size_t position_ = 0;
};

}  // namespace

Pickle::Pickle(std::span<const uint8_t> bytes, const std::string& name) {
  Machine machine(bytes, name, values_);
  value_ = machine.run();
  bytes_ = machine.position();
}

}  // namespace reformer
