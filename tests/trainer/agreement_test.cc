// Ranks that were started with different files are told which differs, and where.
#include "trainer/agreement.h"

#include <gtest/gtest.h>

#include "comm/threads.h"

namespace reformer {
namespace {

TEST(FindDisagreementTest, EqualTextsPass) {
  run_as_threads(3, [](Communicator& communicator) {
    EXPECT_EQ(find_disagreement(communicator, "configuration", "layers: 2\n"), "");
  });
}

TEST(FindDisagreementTest, TheFirstRankThatDiffersIsNamedOnAll) {
  run_as_threads(4, [](Communicator& communicator) {
    const std::string text =
        communicator.rank() < 2 ? "a: 1\n  layers: 2\n" : "a: 1\n  layers: 3\n";
    EXPECT_EQ(find_disagreement(communicator, "configuration", text),
              "rank 2 has another configuration than rank 0: 'layers: 3' where rank 0 has "
              "'layers: 2'");
  });
}

TEST(FirstComplaintTest, IsThatOfTheLowestRank) {
  run_as_threads(3, [](Communicator& communicator) {
    const std::string own =
        communicator.rank() == 0 ? "" : "rank " + std::to_string(communicator.rank());
    EXPECT_EQ(first_complaint(communicator, own, "how are you"), "rank 1");
    EXPECT_EQ(first_complaint(communicator, "", "and now"), "");
  });
}

TEST(FirstDifferenceTest, IsTheLineInWhichTheyDiffer) {
  using Lines = std::pair<std::string, std::string>;
  EXPECT_EQ(first_difference("a\n  bc\nd\n", "a\n  bx\nd\n"), (Lines{"bc", "bx"}));
  EXPECT_EQ(first_difference("a\n", "a\nb\n"), (Lines{"", "b"}));
  EXPECT_EQ(first_difference("", "b"), (Lines{"", "b"}));
}

}  // namespace
}  // namespace reformer
