// A build without NCCL says so.
#include <gtest/gtest.h>

#include "comm/nccl.h"
#include "kernels/core/errors.h"

namespace reformer {
namespace {

TEST(NoNcclTest, EverythingThrows) {
  try {
    nccl_library_version();
    FAIL() << "it is there";
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("built without NCCL"), std::string::npos);
  }
}

}  // namespace
}  // namespace reformer
