// Ranks that were started with different files are told which differs, and where.
#include "trainer/agreement.h"

#include <gtest/gtest.h>

#include "comm/threads.h"
#include "kernels/core/errors.h"

namespace reformer {
namespace {

TEST(AgreementTest, EqualTextsPass) {
  run_as_threads(3, [](Communicator& communicator) {
    require_same_on_all_ranks(communicator, "configuration", "layers: 2\n");
  });
}

TEST(AgreementTest, TheFirstRankThatDiffersIsNamedOnAll) {
  std::vector<std::string> messages(4);
  EXPECT_THROW(run_as_threads(4,
                              [&](Communicator& communicator) {
                                const std::string text = communicator.rank() < 2
                                                             ? "a: 1\n  layers: 2\n"
                                                             : "a: 1\n  layers: 3\n";
                                try {
                                  require_same_on_all_ranks(communicator, "configuration", text);
                                } catch (const ConfigError& error) {
                                  messages[static_cast<size_t>(communicator.rank())] = error.what();
                                  throw;
                                }
                              }),
               ConfigError);
  for (const std::string& message : messages) {
    EXPECT_EQ(message,
              "rank 2 has another configuration than rank 0: 'layers: 3' where rank 0 has "
              "'layers: 2'");
  }
}

TEST(FirstDifferenceTest, IsTheLineInWhichTheyDiffer) {
  using Lines = std::pair<std::string, std::string>;
  EXPECT_EQ(first_difference("a\n  bc\nd\n", "a\n  bx\nd\n"), (Lines{"bc", "bx"}));
  EXPECT_EQ(first_difference("a\n", "a\nb\n"), (Lines{"", "b"}));
  EXPECT_EQ(first_difference("", "b"), (Lines{"", "b"}));
}

}  // namespace
}  // namespace reformer
