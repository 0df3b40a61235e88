// What the interpreter throws: ParseError for PTX that it cannot take, Fault for a kernel that does
// what a correct kernel never does.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace reformer::ptx {

struct Dim3 {
  std::uint32_t x = 1;
  std::uint32_t y = 1;
  std::uint32_t z = 1;
};

// "unknown instruction `tcgen05.mma.…` at line 12", or another reason with its line.
class ParseError : public std::runtime_error {
 public:
  ParseError(const std::string& what, int at)
      : std::runtime_error(what + " at line " + std::to_string(at)), line(at) {}

  int line;  // of the PTX text, from 1
};

// Where a fault happened. `thread` is meaningful where one lane is to blame; for faults of a whole
// warp or block (deadlock, hang) it is the first thread concerned.
struct FaultPlace {
  std::string kernel;  // demangled
  int line = 0;        // of the PTX text, from 1
  std::string text;    // of that instruction
  Dim3 block;
  Dim3 thread;
};

// what() is one line: "out of bounds by 4 bytes of an allocation of 1,024 bytes (read of 4 bytes at
// 0x700000400): scale(float*, int), line 31 `ld.global.f32 %f1, [%rd4]`, block (0,0,0), thread
// (3,0,0)".
class Fault : public std::runtime_error {
 public:
  Fault(std::string why, FaultPlace where);

  std::string reason;  // what() without the place
  FaultPlace place;
};

// `name` as a C++ declaration where it is a mangled name, else itself.
std::string demangled(const std::string& name);

}  // namespace reformer::ptx
