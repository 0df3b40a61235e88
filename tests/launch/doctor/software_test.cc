// What follows from facts about libraries.
#include "launch/doctor/software.h"

#include <gtest/gtest.h>

#include "tests/launch/doctor/doctor_testing.h"

namespace reformer::doctor {
namespace {

using testing::about;

SoftwareFacts good() {
  return {.versions = "Protobuf 3.21.12",
          .vector_target = "AVX2",
          .blas = "OpenBLAS 0.3.21",
          .blas_core = "Zen",
          .blas_core_forced = false,
          .flops_of_core = 60e9};
}

TEST(SoftwareTest, GoodOnesAreOk) {
  EXPECT_EQ(about(good(), "libraries"), "ok: Protobuf 3.21.12");
  EXPECT_EQ(about(good(), "kernels"), "ok: AVX2");
  EXPECT_EQ(about(good(), "OpenBLAS"), "ok: OpenBLAS 0.3.21, for Zen");
  EXPECT_EQ(about(good(), "matrix products"), "ok: 60 GFLOP/s on one core");
}

TEST(SoftwareTest, KernelsOfAnOlderProcessorAreAWarning) {
  SoftwareFacts facts = good();
  facts.blas_core = "Nehalem";
  EXPECT_EQ(about(facts, "OpenBLAS"),
            "warning: OpenBLAS 0.3.21, for Nehalem: it has faster kernels for this processor → "
            "export OPENBLAS_CORETYPE=Haswell");
  facts.blas_core_forced = true;
  EXPECT_NE(about(facts, "OpenBLAS").find("→ unset OPENBLAS_CORETYPE"), std::string::npos);
}

TEST(SoftwareTest, SlowProductsAreAWarning) {
  SoftwareFacts facts = good();
  facts.flops_of_core = 4e9;
  EXPECT_EQ(about(facts, "matrix products"),
            "warning: 4 GFLOP/s on one core, where 50 and more are usual → look for programs that "
            "use the cores, for a slow clock, or for an emulator");
}

TEST(SoftwareTest, ThisProgramIsSeen) {
  const SoftwareFacts facts = look_at_software();
  EXPECT_TRUE(facts.versions.starts_with("Protobuf 3.") ||
              facts.versions.starts_with("Protobuf 4."))
      << facts.versions;
  EXPECT_TRUE(facts.blas.starts_with("OpenBLAS"));
  EXPECT_FALSE(facts.blas_core.empty());
  EXPECT_GT(facts.flops_of_core, 0);
}

}  // namespace
}  // namespace reformer::doctor
