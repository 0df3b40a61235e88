// How a process finds its place: what launchers leave in the environment, and what is refused.
#include "launch/job.h"

#include <map>

#include <gtest/gtest.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

/// An environment with these variables alone.
Environment environment(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
}

std::string refusal(int ranks, int64_t expected, std::map<std::string, std::string> variables) {
  try {
    require_ranks(ranks, expected, environment(std::move(variables)));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(IsStartedByMpiTest, KnowsTheLaunchers) {
  EXPECT_TRUE(is_started_by_mpi(environment({{"OMPI_COMM_WORLD_SIZE", "2"}})));
  EXPECT_TRUE(is_started_by_mpi(environment({{"PMIX_RANK", "0"}})));
  EXPECT_TRUE(is_started_by_mpi(environment({{"PMI_RANK", "1"}})));
  EXPECT_FALSE(is_started_by_mpi(environment({})));
  // A shell inside of an allocation.
  EXPECT_FALSE(is_started_by_mpi(environment({{"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "0"}})));
}

TEST(RequireRanksTest, AProcessThatShouldNotBeAloneIsRefused) {
  EXPECT_EQ(refusal(1, 0, {}), "");
  for (const char* variable :
       {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}) {
    SCOPED_TRACE(variable);
    const std::string message = refusal(1, 0, {{variable, "4"}});
    EXPECT_NE(message.find(std::string(variable) + "=4"), std::string::npos) << message;
    EXPECT_NE(message.find("--set execution.ranks=1"), std::string::npos) << message;
    EXPECT_EQ(refusal(1, 0, {{variable, "1"}}), "");
    EXPECT_EQ(refusal(4, 0, {{variable, "4"}}), "");
    EXPECT_EQ(refusal(1, 1, {{variable, "4"}}), "") << "one rank is what was asked for";
  }
}

TEST(RequireRanksTest, AStepOfOneTaskInALargerAllocationIsFine) {
  EXPECT_EQ(refusal(1, 0, {{"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_NTASKS", "8"}}), "");
  EXPECT_EQ(refusal(1, 0, {{"OMPI_COMM_WORLD_SIZE", "1"}, {"SLURM_NTASKS", "8"}}), "");
}

TEST(RequireRanksTest, TheConfigurationHasTheLastWord) {
  EXPECT_EQ(refusal(4, 4, {}), "");
  const std::string message = refusal(3, 4, {});
  EXPECT_NE(message.find("execution.ranks is 4 and the run has 3 ranks"), std::string::npos);
  EXPECT_NE(message.find("mpirun -n 4"), std::string::npos);
  EXPECT_NE(refusal(1, 4, {}).find("the run has 1 rank;"), std::string::npos);
  // As launch/train.sbatch asks, where srun and the program do not know the same PMI.
  EXPECT_NE(refusal(1, 4, {{"SLURM_STEP_NUM_TASKS", "4"}}).find("srun --mpi=pmix"),
            std::string::npos);
}

}  // namespace
}  // namespace reformer
