#include "tests/ptx/interpreter/coverage.h"

#include <algorithm>
#include <istream>
#include <ostream>
#include <stdexcept>

#include <fmt/format.h>

#include "tests/ptx/interpreter/errors.h"

namespace reformer::ptx {

std::size_t KernelCoverage::lines_executed() const {
  return static_cast<std::size_t>(
      std::count_if(lines.begin(), lines.end(), [](const auto& line) { return line.second; }));
}

void Coverage::merge(const Coverage& other) {
  for (const auto& [name, from] : other.kernels) {
    KernelCoverage& to = kernels[name];
    to.launches += from.launches;
    to.thread_instructions += from.thread_instructions;
    for (const auto& [line, executed] : from.lines) to.lines[line] |= executed;
  }
  for (const auto& [kind, count] : other.instructions) instructions[kind] += count;
}

namespace {

std::string missing_lines(const KernelCoverage& kernel) {
  std::string text;
  for (auto at = kernel.lines.begin(); at != kernel.lines.end(); ++at) {
    if (at->second) continue;
    const int first = at->first;
    int last = first;
    while (std::next(at) != kernel.lines.end() && !std::next(at)->second) last = (++at)->first;
    text += first == last ? fmt::format(" {}", first) : fmt::format(" {}-{}", first, last);
  }
  return text.empty() ? "" : fmt::format("{:>30} never executed: lines{}\n", "", text);
}

}  // namespace

std::string Coverage::kernel_table(bool missing) const {
  std::vector<std::pair<double, std::string>> rows;
  for (const auto& [name, kernel] : kernels) {
    const std::size_t executed = kernel.lines_executed();
    const double part = kernel.lines.empty() ? 1
                                             : static_cast<double>(executed) /
                                                   static_cast<double>(kernel.lines.size());
    std::string row =
        fmt::format("{:>9} {:>5}/{:<5} {:>5.1f}% {:>15} {}\n", kernel.launches, executed,
                    kernel.lines.size(), 100 * part, kernel.thread_instructions, demangled(name));
    if (missing) row += missing_lines(kernel);
    rows.emplace_back(part, row);
  }
  std::sort(rows.begin(), rows.end());
  std::string table =
      fmt::format("{:>9} {:>11} {:>6} {:>15} kernel\n", "launches", "lines", "", "instructions");
  for (const auto& [part, row] : rows) table += row;
  return table;
}

std::string Coverage::instruction_table() const {
  std::vector<std::pair<std::uint64_t, std::string>> rows;
  for (const auto& [kind, count] : instructions) rows.emplace_back(count, kind);
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  std::string table;
  for (const auto& [count, kind] : rows) table += fmt::format("{:>15} {}\n", count, kind);
  return table;
}

void Coverage::write(std::ostream& out) const {
  for (const auto& [name, kernel] : kernels) {
    out << "kernel " << name << ' ' << kernel.launches << ' ' << kernel.thread_instructions << '\n';
    for (const auto& [line, executed] : kernel.lines) {
      out << "line " << line << ' ' << (executed ? 1 : 0) << '\n';
    }
  }
  for (const auto& [kind, count] : instructions) {
    out << "instruction " << kind << ' ' << count << '\n';
  }
}

Coverage Coverage::read(std::istream& in) {
  Coverage coverage;
  KernelCoverage* kernel = nullptr;
  std::string what, name;
  while (in >> what) {
    if (what == "kernel" && in >> name) {
      kernel = &coverage.kernels[name];
      in >> kernel->launches >> kernel->thread_instructions;
    } else if (what == "line" && kernel != nullptr) {
      int line = 0, executed = 0;
      in >> line >> executed;
      kernel->lines[line] = executed != 0;
    } else if (what == "instruction" && in >> name) {
      in >> coverage.instructions[name];
    } else {
      throw std::runtime_error("no coverage: " + what);
    }
    if (!in) throw std::runtime_error("coverage ends within a line");
  }
  return coverage;
}

}  // namespace reformer::ptx
