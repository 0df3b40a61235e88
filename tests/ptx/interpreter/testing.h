// What the tests of the interpreter have in common.
#pragma once

#include <bit>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/ptx/interpreter/floats.h"
#include "tests/ptx/interpreter/heap_memory.h"
#include "tests/ptx/interpreter/interpreter.h"
#include "tests/ptx/interpreter/types.h"

namespace reformer::ptx::testing {

// The inputs of one thread.
struct Row {
  u64 a = 0;
  u64 b = 0;
  u64 c = 0;
  u64 e = 0;
};

// A kernel `k(const Row* in, u64* out)` around `code`. Registers: %A %B %C %E %D (64 bits), %a %b
// %c %e %d (32), %ha %hb %hc %hd (16); the sources hold the row, cut to their size, and the kernel
// returns the d of `bytes` bytes. Also %p %q (predicates), %t (the thread), %x<8> and %X<8> to use.
std::string kernel_around(const std::string& code, std::size_t bytes);

// What the kernel returns for each row, one thread for each.
std::vector<u64> evaluate(const std::string& code, std::size_t bytes, const std::vector<Row>& rows,
                          const LaunchOptions& options = {});

// Checks `code` against a function of the row, for rows and all their partners: every a with every
// b, every c.
template <class D>
void expect_each(const std::string& code, const std::vector<Row>& rows,
                 const std::function<D(const Row&)>& expected) {
  const std::vector<u64> values = evaluate(code, sizeof(D), rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(static_cast<D>(values[i]), expected(rows[i]))
        << code << " of " << std::hex << rows[i].a << ", " << rows[i].b << ", " << rows[i].c << ", "
        << rows[i].e;
  }
}

// Every combination of these values for a and b, with c running through them.
std::vector<Row> pairs(const std::vector<u64>& values);
// Values at which integer arithmetic goes wrong, for any width.
std::vector<u64> awkward_integers();
std::vector<u64> awkward_floats();   // bits of float
std::vector<u64> awkward_doubles();  // bits of double

inline u64 f(float value) {
  return std::bit_cast<u32>(value);
}
inline u64 f(double value) {
  return std::bit_cast<u64>(value);
}

// Equal bits, or both NaN.
bool same(float x, float y);
bool same(double x, double y);

constexpr const char* kHeader = ".version 8.0\n.target sm_80\n.address_size 64\n";

// A module of one text and a memory for it.
struct Device {
  explicit Device(const std::string& text);
  // Arguments are device addresses or other values of 8 bytes.
  std::uint64_t run(const std::string& kernel, const LaunchShape& shape,
                    const std::vector<u64>& arguments, const LaunchOptions& options = {},
                    Coverage* coverage = nullptr);
  // The message of the fault that the launch ends in; "" where it does not.
  std::string fault(const std::string& kernel, const LaunchShape& shape,
                    const std::vector<u64>& arguments, const LaunchOptions& options = {});

  HeapMemory memory;
  Module module;
};

// The message of the ParseError that reading and decoding `text` ends in; "" where it does not.
std::string parse_error(const std::string& text);

#define EXPECT_CONTAINS(text, part) \
  EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

}  // namespace reformer::ptx::testing
