#include "tests/ptx/runtime/settings.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace reformer::ptx {
namespace {

class Reader {
 public:
  explicit Reader(const std::function<const char*(const char*)>& environment)
      : environment_(environment) {}

  std::optional<std::string_view> text(const char* name) const {
    const char* value = environment_(name);
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  }

  template <typename Number>
  Number number(const char* name, Number otherwise, Number least, Number most) const {
    const auto value = text(name);
    if (!value) return otherwise;
    const Number result = parse<Number>(name, *value);
    if (result < least || result > most) {
      refuse(name, *value, std::to_string(least) + " to " + std::to_string(most));
    }
    return result;
  }

  /// "64M": a number with K, M or G for powers of 1,024.
  size_t bytes(const char* name, size_t otherwise) const {
    auto value = text(name);
    if (!value) return otherwise;
    static constexpr std::string_view kUnits = "KMG";
    const size_t unit = kUnits.find(value->back());
    if (unit == kUnits.npos) return parse<size_t>(name, *value);
    value->remove_suffix(1);
    return parse<size_t>(name, *value) << 10 * (unit + 1);
  }

  template <typename Number>
  static Number parse(const char* name, std::string_view value) {
    Number result{};
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
    if (error != std::errc() || end != value.data() + value.size()) {
      refuse(name, value, "a number");
    }
    return result;
  }

  [[noreturn]] static void refuse(const char* name, std::string_view value,
                                  const std::string& legal) {
    throw std::runtime_error(std::string(name) + "=" + std::string(value) + ": not " + legal);
  }

 private:
  const std::function<const char*(const char*)>& environment_;
};

std::vector<std::string_view> split(std::string_view list) {
  std::vector<std::string_view> items;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (comma > 0) items.push_back(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return items;
}

QueueOrder queue_order(const Reader& reader) {
  const bool seeded = reader.text("PTX_SEED").has_value();
  const auto order = reader.text("PTX_ORDER").value_or(seeded ? "random" : "late");
  if (order == "late") return QueueOrder::kLate;
  if (order == "eager") return QueueOrder::kEager;
  if (order == "random") return QueueOrder::kRandom;
  Reader::refuse("PTX_ORDER", order, "late, eager or random");
}

/// "forward", "reversed", or "shuffled:SEED", whose seed goes to `seed`.
Order launch_order(const Reader& reader, const char* name, uint64_t& seed) {
  constexpr std::string_view kShuffled = "shuffled:";
  const auto order = reader.text(name).value_or("forward");
  if (order == "forward") return Order::kForward;
  if (order == "reversed") return Order::kReversed;
  if (!order.starts_with(kShuffled)) Reader::refuse(name, order, "forward, reversed or shuffled:N");
  seed = Reader::parse<uint64_t>(name, order.substr(kShuffled.size()));
  return Order::kShuffled;
}

/// Those that are listed are made, and no others; without a list those of the default settings.
void read_checks(const Reader& reader, Settings& settings) {
  const auto list = reader.text("PTX_CHECKS");
  if (!list) return;
  const std::map<std::string_view, bool*> checks = {
      {"races", &settings.launch.shared_races},
      {"global-races", &settings.launch.global_races},
      {"lane-races", &settings.launch.lane_races},
      {"unwritten", &settings.launch.unwritten_global},
      {"unwritten-shared", &settings.launch.unwritten_shared},
      {"unwritten-copies", &settings.unwritten_copies},
      {"barriers", &settings.launch.strict_barriers},
  };
  for (const auto& [name, check] : checks) *check = false;
  for (const std::string_view name : split(*list)) {
    if (name == "none") continue;
    const auto found = checks.find(name);
    if (found != checks.end()) {
      *found->second = true;
    } else if (name == "all") {
      for (const auto& [each, check] : checks) *check = true;
    } else {
      Reader::refuse("PTX_CHECKS", *list,
                     "a list of races, global-races, lane-races, unwritten, unwritten-shared, "
                     "unwritten-copies, barriers, or all, or none");
    }
  }
}

}  // namespace

Settings read_settings(const std::function<const char*(const char*)>& environment) {
  const Reader reader(environment);
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  Settings settings;
  settings.queue.order = queue_order(reader);
  settings.queue.seed = reader.number<uint64_t>("PTX_SEED", 1, 0, UINT64_MAX);
  settings.launch.global_races = true;
  settings.launch.unwritten_shared = true;
  settings.launch.strict_barriers = true;
  settings.launch.warp_order = launch_order(reader, "PTX_WARPS", settings.launch.seed);
  settings.launch.block_order = launch_order(reader, "PTX_BLOCKS", settings.launch.seed);
  settings.launch.host_threads = reader.number("PTX_THREADS", cores, 1, 1024);
  settings.launch.instruction_limit =
      reader.number<uint64_t>("PTX_LIMIT", 10'000'000'000, 0, UINT64_MAX);
  read_checks(reader, settings);
  settings.devices = reader.number("PTX_DEVICES", 1, 0, 64);
  settings.memory = reader.bytes("PTX_MEMORY", size_t{4} << 30);
  settings.highest_arch = reader.number("PTX_ARCH", 1000, 1, 1000);
  settings.verbose = reader.number("PTX_VERBOSE", 0, 0, 2);
  settings.coverage = reader.text("PTX_COVERAGE").value_or("");
  return settings;
}

}  // namespace reformer::ptx
