// Every kernel that the program embeds was executed by the tests, and the interpreter knows every
// instruction of each. Prints what was executed of each kernel, and the kinds of instructions.
//
//   cuda_coverage_test PROGRAM FOLDER      files of PTX_COVERAGE, made by the tests before
#include "tests/ptx/interpreter/coverage.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "tests/ptx/interpreter/errors.h"
#include "tests/ptx/interpreter/heap_memory.h"
#include "tests/ptx/interpreter/interpreter.h"

namespace reformer::ptx {
namespace {

/// The PTX texts that lie uncompressed in a file.
std::vector<std::string> embedded_ptx(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  std::vector<std::string> texts;
  const std::string begin = "\n.version ";
  for (size_t at = bytes.find(begin); at != std::string::npos; at = bytes.find(begin, at)) {
    const size_t end = bytes.find('\0', at);
    std::string text = bytes.substr(at, end - at);
    // The string stands in the read-only data of this very file too, but not with a target.
    if (text.find("\n.target ") != std::string::npos) texts.push_back(std::move(text));
    at = end;
  }
  return texts;
}

Coverage coverage_in(const std::string& folder) {
  Coverage all;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path());
    all.merge(Coverage::read(file));
  }
  return all;
}

int run(const std::string& program, const std::string& folder) {
  const std::vector<std::string> texts = embedded_ptx(program);
  std::set<std::string> kernels;
  for (const std::string& text : texts) {
    Module module = Module::parse(text);
    HeapMemory memory;
    module.load(memory);
    module.check();
    for (const std::string& name : module.kernel_names()) kernels.insert(name);
  }
  Coverage coverage = coverage_in(folder);
  std::erase_if(coverage.kernels,
                [&](const auto& entry) { return !kernels.contains(entry.first); });
  int missing = 0;
  for (const std::string& name : kernels) {
    if (coverage.kernels.contains(name)) continue;
    std::printf("FAILED: never executed: %s\n", name.c_str());
    ++missing;
  }
  std::printf("%zu texts, %zu kernels, %zu executed\n\n%s\n%s", texts.size(), kernels.size(),
              coverage.kernels.size(), coverage.kernel_table().c_str(),
              coverage.instruction_table().c_str());
  return missing == 0 && !kernels.empty() ? 0 : 1;
}

}  // namespace
}  // namespace reformer::ptx

int main(int count, char** arguments) {
  if (count != 3) {
    std::fprintf(stderr, "cuda_coverage_test PROGRAM FOLDER\n");
    return 2;
  }
  try {
    return reformer::ptx::run(arguments[1], arguments[2]);
  } catch (const std::exception& error) {
    std::printf("FAILED: %s\n", error.what());
    return 1;
  }
}
