// Assertions for bugs. A failed CHECK prints the expression, both values and the source location to
// stderr and aborts; faults of the outside world are exceptions instead (see errors.h).
#pragma once

#include <sstream>
#include <string>

namespace reformer::internal {

[[noreturn]] void check_failed(const char* file, int line, const std::string& message);

template <typename A, typename B>
std::string describe_comparison(const char* expression, const A& a, const B& b) {
  std::ostringstream text;
  text << expression << " (" << a << " vs " << b << ")";
  return text.str();
}

}  // namespace reformer::internal

#define CHECK(condition)                                                  \
  do {                                                                    \
    if (!(condition)) [[unlikely]]                                        \
      ::reformer::internal::check_failed(__FILE__, __LINE__, #condition); \
  } while (false)

#define REFORMER_CHECK_OP(a, op, b)                                                        \
  do {                                                                                     \
    const auto& check_a = (a);                                                             \
    const auto& check_b = (b);                                                             \
    if (!(check_a op check_b)) [[unlikely]]                                                \
      ::reformer::internal::check_failed(                                                  \
          __FILE__, __LINE__,                                                              \
          ::reformer::internal::describe_comparison(#a " " #op " " #b, check_a, check_b)); \
  } while (false)

#define CHECK_EQ(a, b) REFORMER_CHECK_OP(a, ==, b)
#define CHECK_NE(a, b) REFORMER_CHECK_OP(a, !=, b)
#define CHECK_LT(a, b) REFORMER_CHECK_OP(a, <, b)
#define CHECK_LE(a, b) REFORMER_CHECK_OP(a, <=, b)
#define CHECK_GT(a, b) REFORMER_CHECK_OP(a, >, b)
#define CHECK_GE(a, b) REFORMER_CHECK_OP(a, >=, b)
