// Liveness by data flow over basic blocks, then a linear scan over the range of each register.
// Every lane has a column of its own, so the order in which lanes take the branches does not
// matter.
#include <algorithm>
#include <climits>
#include <map>

#include "tests/ptx/interpreter/function_decoder.h"

namespace reformer::ptx {
namespace {

// Whether the first operand is written.
bool has_destination(const Instruction& in) {
  if (in.statement == nullptr || in.flow != Flow::kNext || in.operands[0].address) return false;
  const std::string_view opcode = in.statement->opcode;
  return opcode != "bar" && opcode != "barrier" && opcode != "nanosleep" && opcode != "cp";
}

template <class F>
void for_slots(const Operand& operand, F f) {
  if (operand.kind == OperandKind::kVector) {
    for (int i = 0; i < operand.count; ++i) for_slots(operand.elements[i], f);
    return;
  }
  if (operand.kind == OperandKind::kRegister) f(operand.slot);
  if (operand.second >= 0) f(operand.second);
}

// What an instruction writes for certain counts as written, the rest as read.
template <class Read, class Write>
void for_uses(const Instruction& in, Read read, Write write) {
  if (in.predicate >= 0) read(in.predicate);
  const bool writes = has_destination(in) && in.predicate < 0;
  for (std::size_t i = writes ? 1 : 0; i < in.operands.size(); ++i) for_slots(in.operands[i], read);
  if (writes) for_slots(in.operands[0], write);
}

class Bits {
 public:
  explicit Bits(int count) : words_(static_cast<std::size_t>(count + 63) / 64) {}
  bool operator[](int i) const { return (words_[word(i)] >> (i % 64) & 1) != 0; }
  void set(int i) { words_[word(i)] |= u64{1} << (i % 64); }
  void add(const Bits& other) {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  }
  // this |= out & ~written; whether that changed it.
  bool add_passing(const Bits& out, const Bits& written) {
    u64 changed = 0;
    for (std::size_t i = 0; i < words_.size(); ++i) {
      const u64 more = out.words_[i] & ~written.words_[i] & ~words_[i];
      words_[i] |= more;
      changed |= more;
    }
    return changed != 0;
  }
  template <class F>
  void for_each(F f) const {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      for (u64 word = words_[i]; word != 0; word &= word - 1) {
        f(static_cast<int>(i * 64) + std::countr_zero(word));
      }
    }
  }

 private:
  static std::size_t word(int i) { return static_cast<std::size_t>(i) / 64; }
  std::vector<u64> words_;
};

struct BasicBlock {
  int begin = 0;
  int end = 0;
  std::vector<int> next;
  Bits in;       // live at its beginning
  Bits out;      // and at its end
  Bits written;  // before anything else is done with them
};

struct Range {
  int begin = INT_MAX;
  int end = -1;
  void include(int at) {
    begin = std::min(begin, at);
    end = std::max(end, at);
  }
};

class Liveness {
 public:
  explicit Liveness(const Function& function)
      : code_(function.code), registers_(function.registers) {
    split();
    connect();
    flow();
  }

  std::vector<Range> ranges() const {
    std::vector<Range> ranges(static_cast<std::size_t>(registers_));
    for (const BasicBlock& block : blocks_) {
      block.in.for_each([&](int r) { ranges[static_cast<std::size_t>(r)].include(block.begin); });
      block.out.for_each(
          [&](int r) { ranges[static_cast<std::size_t>(r)].include(block.end - 1); });
      for (int i = block.begin; i < block.end; ++i) {
        const auto include = [&](int r) { ranges[static_cast<std::size_t>(r)].include(i); };
        for_uses(at(i), include, include);
      }
    }
    return ranges;
  }

 private:
  const Instruction& at(int i) const { return code_[static_cast<std::size_t>(i)]; }

  static bool ends_block(const Instruction& in) {
    return in.flow == Flow::kBranch || in.flow == Flow::kBranchTable || in.flow == Flow::kReturn ||
           in.flow == Flow::kExit;
  }

  void split() {
    const int count = static_cast<int>(code_.size());
    std::vector<bool> begins(code_.size() + 1, false);
    begins[0] = true;
    for (int i = 0; i < count; ++i) {
      if (ends_block(at(i))) begins[static_cast<std::size_t>(i) + 1] = true;
      if (at(i).target >= 0) begins[static_cast<std::size_t>(at(i).target)] = true;
      for (const int target : at(i).targets) begins[static_cast<std::size_t>(target)] = true;
    }
    block_of_.resize(code_.size());
    for (int i = 0; i < count; ++i) {
      if (begins[static_cast<std::size_t>(i)]) {
        blocks_.push_back({i, i, {}, Bits(registers_), Bits(registers_), Bits(registers_)});
      }
      blocks_.back().end = i + 1;
      block_of_[static_cast<std::size_t>(i)] = static_cast<int>(blocks_.size()) - 1;
    }
  }

  void connect() {
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      BasicBlock& block = blocks_[b];
      const Instruction& last = at(block.end - 1);
      const auto add = [&](int target) {
        block.next.push_back(block_of_[static_cast<std::size_t>(target)]);
      };
      if (last.target >= 0) add(last.target);
      for (const int target : last.targets) add(target);
      const bool falls_through = !ends_block(last) || last.predicate >= 0;
      if (falls_through && b + 1 < blocks_.size()) block.next.push_back(static_cast<int>(b) + 1);
    }
  }

  void flow() {
    for (BasicBlock& block : blocks_) {
      for (int i = block.begin; i < block.end; ++i) {
        for_uses(
            at(i),
            [&](int r) {
              if (!block.written[r]) block.in.set(r);
            },
            [&](int r) { block.written.set(r); });
      }
    }
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t b = blocks_.size(); b-- > 0;) {
        BasicBlock& block = blocks_[b];
        for (const int next : block.next) {
          block.out.add(blocks_[static_cast<std::size_t>(next)].in);
        }
        changed |= block.in.add_passing(block.out, block.written);
      }
    }
  }

  const std::vector<Instruction>& code_;
  int registers_;
  std::vector<BasicBlock> blocks_;
  std::vector<int> block_of_;
};

// A slot for each register; how many there are goes to `count`.
std::vector<int> assign_slots(const std::vector<Range>& ranges, int& count) {
  std::vector<int> order;
  for (std::size_t r = 0; r < ranges.size(); ++r) {
    if (ranges[r].end >= 0) order.push_back(static_cast<int>(r));
  }
  const auto range = [&](int r) { return ranges[static_cast<std::size_t>(r)]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return range(a).begin < range(b).begin; });
  std::vector<int> slots(ranges.size(), 0), free;
  std::multimap<int, int> taken;  // by the end of the range
  count = 0;
  for (const int r : order) {
    while (!taken.empty() && taken.begin()->first < range(r).begin) {
      free.push_back(taken.begin()->second);
      taken.erase(taken.begin());
    }
    if (free.empty()) free.push_back(count++);
    slots[static_cast<std::size_t>(r)] = free.back();
    taken.emplace(range(r).end, free.back());
    free.pop_back();
  }
  return slots;
}

void renumber(Operand& operand, const std::vector<int>& slots) {
  if (operand.slot >= 0) operand.slot = slots[static_cast<std::size_t>(operand.slot)];
  if (operand.second >= 0) operand.second = slots[static_cast<std::size_t>(operand.second)];
}

}  // namespace

void share_registers(Function& function) {
  const std::vector<int> slots = assign_slots(Liveness(function).ranges(), function.registers);
  for (Instruction& in : function.code) {
    if (in.predicate >= 0) in.predicate = slots[static_cast<std::size_t>(in.predicate)];
    for (Operand& operand : in.operands) renumber(operand, slots);
    for (Operand& element : in.elements) renumber(element, slots);
  }
}

}  // namespace reformer::ptx
