#include "tests/ptx/nccl/segment.h"

#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

namespace reformer::ptx::nccl {
namespace {

constexpr size_t kHeadBytes = 4096;

}  // namespace

std::optional<SegmentFile> SegmentFile::create() {
  SegmentName name{.pid = getpid()};
  name.fd = memfd_create("nccl stand-in", MFD_CLOEXEC);
  if (name.fd < 0) return std::nullopt;
  SegmentFile file(name);
  if (getrandom(&file.name_.nonce, sizeof(name.nonce), 0) != sizeof(name.nonce)) {
    return std::nullopt;
  }
  if (pwrite(name.fd, &file.name_.nonce, sizeof(name.nonce), 0) != sizeof(name.nonce)) {
    return std::nullopt;
  }
  return file;
}

SegmentFile::SegmentFile(SegmentFile&& other) noexcept
    : name_(std::exchange(other.name_, SegmentName{.fd = -1})) {}

SegmentFile& SegmentFile::operator=(SegmentFile&& other) noexcept {
  std::swap(name_, other.name_);
  return *this;
}

SegmentFile::~SegmentFile() {
  if (name_.fd >= 0) close(name_.fd);
}

size_t Segment::bytes(int size) {
  const auto ranks = static_cast<size_t>(size);
  return kHeadBytes + ranks * ranks * sizeof(Channel);
}

Segment::Segment(void* memory, int size)
    : head_(static_cast<Head*>(memory)),
      channels_(reinterpret_cast<Channel*>(static_cast<std::byte*>(memory) + kHeadBytes)),
      size_(size) {
  static_assert(sizeof(Head) <= kHeadBytes);
}

std::unique_ptr<Segment> Segment::open(const SegmentName& name, int size) {
  const int fd =
      ::open(fmt::format("/proc/{}/fd/{}", name.pid, name.fd).c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return nullptr;
  // Every rank asks for the same size; only the first one changes anything.
  void* const memory = ftruncate(fd, static_cast<off_t>(bytes(size))) != 0
                           ? MAP_FAILED
                           : mmap(nullptr, bytes(size), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (memory == MAP_FAILED) return nullptr;
  std::unique_ptr<Segment> segment(new Segment(memory, size));
  return segment->head_->nonce == name.nonce ? std::move(segment) : nullptr;
}

Segment::~Segment() {
  munmap(head_, bytes(size_));
}

void Segment::join(int rank, int device) {
  head_->devices[rank] = device;
  head_->joined.fetch_add(1);
}

bool Segment::is_complete() const {
  return head_->joined.load() >= size_;
}

}  // namespace reformer::ptx::nccl
