// What follows from facts about the processor.
#include "launch/doctor/processor.h"

#include <gtest/gtest.h>

#include "tests/launch/doctor/doctor_testing.h"

namespace reformer::doctor {
namespace {

using testing::about;

constexpr ProcessorFacts kGood{.avx2 = true,
                               .avx512 = false,
                               .usable_cores = 8,
                               .machine_cores = 8,
                               .allowed_cores = {},
                               .load = 0.3,
                               .gpus = 0};

TEST(ProcessorTest, AGoodOneIsOk) {
  EXPECT_EQ(about(kGood, "instructions"), "ok: AVX2");
  EXPECT_EQ(about(kGood, "cores"), "ok: all 8 usable");
  EXPECT_EQ(about(kGood, "load"), "ok: 0.3 in the last minute");
  EXPECT_EQ(about(kGood, "GPU"), "ok: none, and none is needed: the CPU computes");
}

TEST(ProcessorTest, WithoutTheBaselineNothingWorks) {
  ProcessorFacts facts = kGood;
  facts.avx512 = true;
  EXPECT_EQ(about(facts, "instructions"), "ok: AVX2 and AVX-512");
  facts.avx2 = false;
  EXPECT_EQ(about(facts, "instructions"),
            "problem: this processor lacks AVX2, FMA or BMI2 → use an x86-64 processor of 2015 or "
            "later");
}

TEST(ProcessorTest, TimeThatTheControlGroupWithholdsIsAWarning) {
  ProcessorFacts facts = kGood;
  facts.usable_cores = 6;
  EXPECT_EQ(about(facts, "cores"), "ok: 6 of 8 usable");
  facts.allowed_cores = 6;
  EXPECT_EQ(about(facts, "cores"), "ok: 6 of 8 usable");
  facts.allowed_cores = 2.5;
  EXPECT_EQ(about(facts, "cores"),
            "warning: 6 of 8 usable, but the control group allows 2.5 of them: threads beyond wait "
            "→ --set execution.threads=2");
  facts.allowed_cores = 0.5;
  EXPECT_NE(about(facts, "cores").find("execution.threads=1"), std::string::npos);
}

TEST(ProcessorTest, OthersAtWorkAreAWarning) {
  ProcessorFacts facts = kGood;
  facts.load = 4;
  EXPECT_EQ(about(facts, "load"), "ok: 4.0 in the last minute");
  facts.load = 4.1;
  EXPECT_EQ(about(facts, "load"),
            "warning: 4.1 processes wanted to run in the last minute, on 8 cores → end other "
            "programs, or expect steps to take longer");
}

TEST(ProcessorTest, AGpuIsSaidNotToBeUsed) {
  ProcessorFacts facts = kGood;
  facts.gpus = 2;
  EXPECT_EQ(about(facts, "GPU"), "ok: 2 found, none is used: the CPU computes");
}

TEST(ProcessorTest, ThisMachineIsSeen) {
  const ProcessorFacts facts = look_at_processor();
  EXPECT_TRUE(facts.avx2) << "the test would not run without";
  EXPECT_GE(facts.usable_cores, 1);
  EXPECT_GE(facts.machine_cores, facts.usable_cores);
}

}  // namespace
}  // namespace reformer::doctor
