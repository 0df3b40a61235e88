#include "trainer/agreement.h"

#include <algorithm>

#include <fmt/format.h>

#include "kernels/core/errors.h"

namespace reformer {

void require_same_on_all_ranks(Communicator& communicator, const std::string& what,
                               const std::string& text) {
  const std::string expected = communicator.broadcast_text(text, 0, what);
  std::string complaint;
  if (text != expected) {
    const auto [here, there] = first_difference(text, expected);
    complaint = fmt::format("rank {} has another {} than rank 0: '{}' where rank 0 has '{}'",
                            communicator.rank(), what, here, there);
  }
  for (const std::string& of_rank : communicator.gather_text(complaint, what)) {
    if (!of_rank.empty()) throw ConfigError(of_rank);
  }
}

std::pair<std::string, std::string> first_difference(const std::string& a, const std::string& b) {
  size_t begin = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()) && a[i] == b[i]; ++i) {
    if (a[i] == '\n') begin = i + 1;
  }
  const auto line_at = [begin](const std::string& text) {
    const size_t start = text.find_first_not_of(' ', begin);
    return start == std::string::npos ? "" : text.substr(start, text.find('\n', begin) - start);
  };
  return {line_at(a), line_at(b)};
}

}  // namespace reformer
