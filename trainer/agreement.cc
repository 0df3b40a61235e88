#include "trainer/agreement.h"

#include <algorithm>

#include <fmt/format.h>

namespace reformer {

std::string first_complaint(Communicator& communicator, const std::string& complaint,
                            const std::string& tag) {
  for (const std::string& of_rank : communicator.gather_text(complaint, tag)) {
    if (!of_rank.empty()) return of_rank;
  }
  return "";
}

std::string find_disagreement(Communicator& communicator, const std::string& what,
                              const std::string& text) {
  const std::string expected = communicator.broadcast_text(text, 0, what);
  std::string complaint;
  if (text != expected) {
    const auto [here, there] = first_difference(text, expected);
    complaint = fmt::format("rank {} has another {} than rank 0: '{}' where rank 0 has '{}'",
                            communicator.rank(), what, here, there);
  }
  return first_complaint(communicator, complaint, what);
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
