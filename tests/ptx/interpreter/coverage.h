// What has been executed: for each kernel, and for each kind of instruction.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <map>
#include <string>
#include <vector>

namespace reformer::ptx {

struct KernelCoverage {
  std::uint64_t launches = 0;
  std::uint64_t thread_instructions = 0;
  // For each instruction of the kernel and of the functions that it calls: has a thread executed
  // it?
  std::map<int, bool> lines;  // by line of the PTX text

  std::size_t lines_executed() const;
};

class Coverage {
 public:
  std::map<std::string, KernelCoverage> kernels;  // by mangled name
  // Thread-instructions by kind: the opcode with its modifiers, "fma.rn.f32".
  std::map<std::string, std::uint64_t> instructions;

  void merge(const Coverage& other);

  // A line for each kernel (launches, lines executed of how many, thread-instructions, name), those
  // that are covered least first; then the lines that were never executed where `missing` is set.
  std::string kernel_table(bool missing = false) const;
  // A line for each kind of instruction, the most frequent first.
  std::string instruction_table() const;

  // A text form, so that programs can add up what each of them covered.
  void write(std::ostream& out) const;
  static Coverage read(std::istream& in);  // std::runtime_error where it is not what write() wrote
};

}  // namespace reformer::ptx
