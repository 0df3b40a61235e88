#include "tests/ptx/interpreter/errors.h"

#include <cstdlib>
#include <memory>
#include <utility>

#include <cxxabi.h>
#include <fmt/format.h>

namespace reformer::ptx {
namespace {

std::string one_line(const std::string& reason, const FaultPlace& place) {
  return fmt::format("{}: {}, line {} `{}`, block ({},{},{}), thread ({},{},{})", reason,
                     place.kernel, place.line, place.text, place.block.x, place.block.y,
                     place.block.z, place.thread.x, place.thread.y, place.thread.z);
}

}  // namespace

Fault::Fault(std::string why, FaultPlace where)
    : std::runtime_error(one_line(why, where)), reason(std::move(why)), place(std::move(where)) {}

std::string demangled(const std::string& name) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> plain(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), std::free);
  return status == 0 ? plain.get() : name;
}

}  // namespace reformer::ptx
