// Training and held-out parts of a file.
#include "trainer/data/split.h"

#include <gtest/gtest.h>

#include "kernels/core/errors.h"

namespace reformer {
namespace {

std::string describe(const config::Data& data, int64_t size) {
  try {
    const DataSplit split = split_of(data, size, "record", "file");
    return std::to_string(split.train.begin) + "-" + std::to_string(split.train.end) + " " +
           std::to_string(split.validation.begin) + "-" + std::to_string(split.validation.end);
  } catch (const DataError& error) {
    return error.what();
  }
}

TEST(SplitTest, TheHeldOutShareIsTheEnd) {
  config::Data data;
  EXPECT_EQ(describe(data, 100), "0-90 90-100");
  EXPECT_EQ(describe(data, 19), "0-18 18-19");
  EXPECT_EQ(describe(data, 9), "0-9 9-9");
  data.set_validation_share(0.25);
  EXPECT_EQ(describe(data, 100), "0-75 75-100");
}

TEST(SplitTest, RangesAreTakenAsTheyAre) {
  config::Data data;
  data.mutable_train()->set_begin(10);
  data.mutable_train()->set_end(20);
  data.mutable_validation()->set_begin(30);
  EXPECT_EQ(describe(data, 40), "10-20 30-40");
  EXPECT_EQ(describe(data, 31), "10-20 30-31");
  EXPECT_EQ(describe(data, 30),
            "file: data.validation = [30, 30) does not lie in the 30 records of "
            "the file");
  EXPECT_EQ(describe(data, 19),
            "file: data.train = [10, 20) does not lie in the 19 records of the "
            "file");
}

}  // namespace
}  // namespace reformer
