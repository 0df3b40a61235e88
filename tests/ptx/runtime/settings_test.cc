#include "tests/ptx/runtime/settings.h"

#include <map>
#include <stdexcept>

#include <gtest/gtest.h>

namespace reformer::ptx {
namespace {

Settings read(const std::map<std::string, std::string>& environment) {
  return read_settings([&](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

std::string refusal(const std::string& name, const std::string& value) {
  try {
    read({{name, value}});
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(Settings, Defaults) {
  const Settings settings = read({});
  EXPECT_EQ(settings.queue.order, QueueOrder::kLate);
  EXPECT_EQ(settings.devices, 1);
  EXPECT_GT(settings.memory, size_t{1} << 30);
  EXPECT_TRUE(settings.launch.shared_races);
  EXPECT_TRUE(settings.launch.unwritten_global);
  EXPECT_TRUE(settings.unwritten_copies);
  EXPECT_GE(settings.launch.host_threads, 1);
}

TEST(Settings, Orders) {
  EXPECT_EQ(read({{"PTX_ORDER", "eager"}}).queue.order, QueueOrder::kEager);
  EXPECT_EQ(read({{"PTX_SEED", "5"}}).queue.order, QueueOrder::kRandom);
  EXPECT_EQ(read({{"PTX_SEED", "5"}}).queue.seed, 5u);
  EXPECT_EQ(read({{"PTX_ORDER", "late"}, {"PTX_SEED", "5"}}).queue.order, QueueOrder::kLate);
  EXPECT_EQ(read({{"PTX_WARPS", "reversed"}}).launch.warp_order, Order::kReversed);
  const Settings shuffled = read({{"PTX_BLOCKS", "shuffled:17"}});
  EXPECT_EQ(shuffled.launch.block_order, Order::kShuffled);
  EXPECT_EQ(shuffled.launch.warp_order, Order::kForward);
  EXPECT_EQ(shuffled.launch.seed, 17u);
}

TEST(Settings, ChecksAreThoseOfTheList) {
  const Settings some = read({{"PTX_CHECKS", "lane-races,unwritten-copies"}});
  EXPECT_TRUE(some.launch.lane_races);
  EXPECT_TRUE(some.unwritten_copies);
  EXPECT_FALSE(some.launch.shared_races);
  EXPECT_FALSE(some.launch.unwritten_global);
  EXPECT_FALSE(read({{"PTX_CHECKS", "none"}}).launch.shared_races);
  EXPECT_TRUE(read({{"PTX_CHECKS", "all"}}).launch.lane_races);
}

TEST(Settings, Numbers) {
  EXPECT_EQ(read({{"PTX_MEMORY", "64M"}}).memory, size_t{64} << 20);
  EXPECT_EQ(read({{"PTX_MEMORY", "2G"}}).memory, size_t{2} << 30);
  EXPECT_EQ(read({{"PTX_MEMORY", "1000"}}).memory, 1000u);
  EXPECT_EQ(read({{"PTX_DEVICES", "0"}}).devices, 0);
  EXPECT_EQ(read({{"PTX_ARCH", "80"}}).highest_arch, 80);
  EXPECT_EQ(read({{"PTX_THREADS", "3"}}).launch.host_threads, 3);
}

TEST(Settings, RefusesWhatIsNotLegal) {
  EXPECT_EQ(refusal("PTX_ORDER", "early"), "PTX_ORDER=early: not late, eager or random");
  EXPECT_NE(refusal("PTX_WARPS", "shuffled"), "");
  EXPECT_NE(refusal("PTX_CHECKS", "races,typo"), "");
  EXPECT_NE(refusal("PTX_DEVICES", "65"), "");
  EXPECT_NE(refusal("PTX_THREADS", "2x"), "");
  EXPECT_NE(refusal("PTX_MEMORY", "G"), "");
}

}  // namespace
}  // namespace reformer::ptx
