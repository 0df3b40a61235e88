// What follows from facts about MPI and its launcher.
#include "launch/doctor/launcher.h"

#include <gtest/gtest.h>

#include "comm/mpi.h"
#include "tests/launch/doctor/doctor_testing.h"

namespace reformer::doctor {
namespace {

using testing::about;

LauncherFacts good() {
  return {.library = "Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4",
          .under_launcher = false,
          .launcher = {.found = true,
                       .timed_out = false,
                       .status = 0,
                       .output = "mpirun (Open MPI) 4.1.4\n\nReport bugs to …\n"},
          .meeting = {.found = true, .timed_out = false, .status = 0, .output = ""},
          .meeting_seconds = 1.25};
}

TEST(LauncherTest, AMeetingIsOk) {
  EXPECT_EQ(about(good(), "MPI"), "ok: Open MPI v4.1.4");
  EXPECT_EQ(about(good(), "launcher"), "ok: mpirun (Open MPI) 4.1.4");
  EXPECT_EQ(about(good(), "ranks"), "ok: two met, 1.2 s from the start to the end");
}

TEST(LauncherTest, WithoutALauncherOneRankWorks) {
  LauncherFacts facts = good();
  facts.launcher = {};
  facts.meeting = {};
  EXPECT_EQ(about(facts, "launcher"),
            "warning: there is no mpirun: one rank alone can be started → apt-get install "
            "openmpi-bin, or start ranks with srun --mpi=pmix");
  EXPECT_EQ(about(facts, "ranks"), "absent");
}

TEST(LauncherTest, ALauncherOfAnotherMpiIsAProblem) {
  const std::string remedy = " → put the bin folder of the library's own mpirun first in PATH";
  LauncherFacts facts = good();
  facts.launcher.output = "mpirun (Open MPI) 5.0.1\n";
  EXPECT_EQ(
      about(facts, "launcher"),
      "problem: mpirun is of mpirun (Open MPI) 5.0.1, and the program is linked with Open MPI "
      "v4.1.4" +
          remedy);
  facts.launcher.output = "HYDRA build details:\n    Version: 4.1.4\n";
  EXPECT_EQ(about(facts, "launcher"),
            "problem: mpirun is of HYDRA build details:, and the program is linked with Open MPI "
            "v4.1.4" +
                remedy);
  facts.launcher.output = "mpirun (Open MPI) 4.1.9\n";
  EXPECT_EQ(about(facts, "launcher"), "ok: mpirun (Open MPI) 4.1.9")
      << "they understand each other";
  facts.launcher.output = "mpirun: error while loading shared libraries\n";
  facts.launcher.status = 127;
  EXPECT_EQ(about(facts, "launcher"),
            "problem: mpirun --version failed with status 127: mpirun: error while loading shared "
            "libraries → apt-get install --reinstall openmpi-bin");
}

TEST(LauncherTest, RanksThatDoNotMeetAreAProblem) {
  LauncherFacts facts = good();
  facts.meeting.status = 6;
  facts.meeting.output = "first\nreformer: error: 1 rank met, 2 were started\n\n-----\n";
  EXPECT_EQ(about(facts, "ranks"),
            "problem: two ranks failed to meet, status 6: reformer: error: 1 rank met, 2 were "
            "started → try mpirun -n 2 hostname");
  facts.meeting.timed_out = true;
  EXPECT_TRUE(about(facts, "ranks").starts_with("problem: two ranks did not meet within 30 s → "));
}

TEST(LauncherTest, ARankTriesNothing) {
  LauncherFacts facts = good();
  facts.under_launcher = true;
  EXPECT_EQ(about(facts, "launcher"), "ok: this process is a rank itself: nothing was tried");
  EXPECT_EQ(about(facts, "ranks"), "absent");
}

TEST(LauncherTest, TheLibraryTellsItsName) {
  EXPECT_NE(mpi_library_version().find("MPI"), std::string::npos);
}

}  // namespace
}  // namespace reformer::doctor
