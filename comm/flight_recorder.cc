#include "comm/flight_recorder.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/core/check.h"
#include "kernels/core/errors.h"

namespace reformer {
namespace {

// The digit is the version; readers refuse what begins otherwise.
constexpr char kMagic[] = "reformer flight recorder 1\n";
constexpr size_t kHeaderBytes = 64;
static_assert(sizeof(kMagic) <= kHeaderBytes);
static_assert(sizeof(FlightRecord) == 88);

constexpr size_t kFileBytes = kHeaderBytes + FlightRecorder::kCapacity * sizeof(FlightRecord);

int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

[[noreturn]] void fail(const std::string& path, const char* action, int error) {
  throw CommError(
      fmt::format("[flight recorder] {}: cannot {}: {}", path, action, std::strerror(error)));
}

/// Maps the file behind `fd`, or memory if it is -1, as an empty ring.
FlightRecord* map_ring(int fd, const std::string& path) {
  const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  void* const base = mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (base == MAP_FAILED) fail(path, "map it", errno);
  std::memcpy(base, kMagic, sizeof(kMagic));
  return reinterpret_cast<FlightRecord*>(static_cast<std::byte*>(base) + kHeaderBytes);
}

void unmap_ring(FlightRecord* ring) {
  munmap(reinterpret_cast<std::byte*>(ring) - kHeaderBytes, kFileBytes);
}

FlightRecord* map_file(const std::string& path) {
  std::error_code ignored;  // seen by open()
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  // A new file, not the old one cut to nothing: another process may still look at that.
  unlink(path.c_str());
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) fail(path, "create it", errno);
  // Reserved, so that a full disk is found here and not by a fault at some later write.
  const int error = posix_fallocate(fd, 0, kFileBytes);
  if (error != 0) {
    close(fd);
    fail(path, "reserve space for it", error);
  }
  FlightRecord* const ring = map_ring(fd, path);
  close(fd);
  return ring;
}

std::vector<FlightRecord> in_order(const FlightRecord* ring) {
  std::vector<FlightRecord> records;
  std::copy_if(ring, ring + FlightRecorder::kCapacity, std::back_inserter(records),
               [](const FlightRecord& record) { return record.index > 0; });
  std::sort(records.begin(), records.end(),
            [](const FlightRecord& a, const FlightRecord& b) { return a.index < b.index; });
  return records;
}

}  // namespace

FlightRecorder::FlightRecorder() : ring_(map_ring(-1, "memory")) {}

FlightRecorder::~FlightRecorder() {
  unmap_ring(ring_);
}

void FlightRecorder::keep_in(const std::string& path) {
  FlightRecord* const file = map_file(path);
  const std::lock_guard lock(mutex_);
  std::memcpy(static_cast<void*>(file), ring_, kCapacity * sizeof(FlightRecord));
  unmap_ring(ring_);
  ring_ = file;
}

uint64_t FlightRecorder::start(const Operation& operation) {
  const std::lock_guard lock(mutex_);
  if (ended_) return 0;
  enter(operation);
  return last_;
}

void FlightRecorder::end(const Operation& operation) {
  const std::lock_guard lock(mutex_);
  if (!ended_) enter(operation);
  ended_ = true;
}

void FlightRecorder::enter(const Operation& operation) {
  FlightRecord record{.index = ++last_,
                      .started_us = now_us(),
                      .sequence = operation.sequence,
                      .elements = operation.elements(),
                      .peer = operation.peer,
                      .kind = operation.kind,
                      .dtype = operation.data.dtype()};
  operation.tag.copy(record.tag, sizeof(record.tag) - 1);
  slot(last_) = record;
}

void FlightRecorder::finish(uint64_t index) {
  const std::lock_guard lock(mutex_);
  if (index > 0 && slot(index).index == index) slot(index).finished_us = now_us();
}

std::vector<FlightRecord> FlightRecorder::records() const {
  const std::lock_guard lock(mutex_);
  return in_order(ring_);
}

std::vector<FlightRecord> read_flight_records(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path, "open it", errno);
  std::string bytes(kFileBytes, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (file.gcount() != static_cast<std::streamsize>(kFileBytes) ||
      std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) != 0) {
    throw CommError(
        fmt::format("[flight recorder] {}: is no flight recorder of this program", path));
  }
  std::vector<FlightRecord> ring(FlightRecorder::kCapacity);
  std::memcpy(ring.data(), bytes.data() + kHeaderBytes, kFileBytes - kHeaderBytes);
  for (FlightRecord& record : ring) record.tag[sizeof(record.tag) - 1] = '\0';
  return in_order(ring.data());
}

std::string describe(const FlightRecord& record) {
  const auto time = static_cast<std::time_t>(record.started_us / 1000000);
  std::string text = fmt::format("{} #{}", name_of(record.kind), record.sequence);
  if (record.elements > 0) {
    text += fmt::format(" of {} {}", record.elements, name_of(record.dtype));
  }
  text += fmt::format(" ({}), started {:%F %T}", record.tag, fmt::localtime(time));
  if (record.finished_us == 0) return text + ", not finished";
  return text + fmt::format(", finished after {:.3f} ms",
                            static_cast<double>(record.finished_us - record.started_us) * 1e-3);
}

}  // namespace reformer
