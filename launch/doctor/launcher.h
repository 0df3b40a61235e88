// Whether several ranks can be started here: MPI, its launcher, and a first meeting.
#pragma once

#include <string>
#include <vector>

#include "launch/doctor/command.h"
#include "launch/doctor/finding.h"

namespace reformer::doctor {

struct LauncherFacts {
  std::string library = {};     // "Open MPI v4.1.4, …", what the program is linked with
  bool under_launcher = false;  // this process is a rank itself: nothing was tried
  CommandResult launcher = {};  // mpirun --version
  CommandResult meeting = {};   // two ranks that meet
  double meeting_seconds = 0;
};

LauncherFacts look_at_launcher();

std::vector<Finding> judge(const LauncherFacts& facts);

/// One of the ranks that look_at_launcher starts: meets the other and returns an ExitCode.
int meet_other_rank();

}  // namespace reformer::doctor
