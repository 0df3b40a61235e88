#include "tests/ptx/runtime/device_heap.h"

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <utility>

#include <sys/mman.h>

#include "tests/ptx/runtime/nan_pages.h"

namespace reformer::ptx {
namespace {

constexpr size_t kLeastAddressSpace = size_t{1} << 28;
constexpr size_t kMostRemembered = 100'000;  // of what was freed
/// As cudaMalloc aligns. At least so many bytes lie between two allocations.
constexpr size_t kAlignment = 512;

constexpr size_t round_up(size_t bytes, size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

/// From the beginning of an allocation to where the next one may begin.
constexpr size_t footprint(size_t bytes) {
  return round_up(std::max<size_t>(bytes, 1), kAlignment) + kAlignment;
}

void* map_pages(size_t bytes, int protection) {
  void* const pages =
      mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return pages == MAP_FAILED ? nullptr : pages;
}

/// "1,234,567"
std::string grouped(size_t number) {
  std::string digits = std::to_string(number);
  for (size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string describe_block(const HeapBlock& block) {
  std::string text = block.name.empty() ? "allocation #" + std::to_string(block.number)
                                        : "the variable " + block.name;
  text += " of " + grouped(block.bytes) + " bytes";
  if (block.device > 0) text += " on device " + std::to_string(block.device);
  return text;
}

}  // namespace

DeviceHeap::DeviceHeap(int devices, size_t capacity, size_t address_space)
    : capacity_(capacity), used_(static_cast<size_t>(devices)) {
  const size_t least = std::min(address_space, kLeastAddressSpace);
  for (size_t size = address_space; size >= least && reserved_ == 0; size /= 2) {
    void* const parts[] = {map_pages(size, PROT_NONE), map_pages(size, PROT_READ | PROT_WRITE),
                           map_pages(size, PROT_READ | PROT_WRITE)};
    if (std::find(std::begin(parts), std::end(parts), nullptr) == std::end(parts)) {
      reserved_ = size;
      begin_ = reinterpret_cast<DeviceAddress>(parts[0]);
      bytes_ = static_cast<std::byte*>(parts[1]);
      marks_ = static_cast<uint8_t*>(parts[2]);
    } else {
      for (void* part : parts) {
        if (part != nullptr) munmap(part, size);
      }
    }
  }
  if (reserved_ == 0) throw std::runtime_error("no address space for the memory of the devices");
  end_ = begin_ + reserved_;
  next_ = begin_;
}

DeviceHeap::~DeviceHeap() {
  munmap(reinterpret_cast<void*>(begin_), reserved_);
  munmap(bytes_, reserved_);
  munmap(marks_, reserved_);
}

std::optional<DeviceAddress> DeviceHeap::allocate(int device, size_t bytes, std::string name,
                                                  bool usable) {
  const std::unique_lock lock(mutex_);
  size_t& used = used_[static_cast<size_t>(device)];
  if (bytes > capacity_ - used) return std::nullopt;
  const std::optional<DeviceAddress> begin = place(bytes);
  if (!begin) return std::nullopt;
  used += bytes;
  blocks_[*begin] = {.known = {.begin = *begin,
                               .bytes = bytes,
                               .device = device,
                               .number = ++numbers_,
                               .name = std::move(name)},
                     .usable = usable};
  // What was freed at these addresses is forgotten; it was the longest ago.
  freed_.erase(freed_.lower_bound(*begin), freed_.lower_bound(*begin + footprint(bytes)));
  fill_with_nan(host(*begin), bytes);
  return begin;
}

/// The first gap that is wide enough from next_ on, or else from the beginning.
std::optional<DeviceAddress> DeviceHeap::place(size_t bytes) {
  if (bytes > reserved_ - 2 * kAlignment) return std::nullopt;
  const size_t needed = footprint(bytes);
  for (int round = 0; round < 2; ++round) {
    while (end_ - next_ >= needed) {
      auto above = blocks_.upper_bound(next_);
      const Block* in_the_way = nullptr;
      if (above != blocks_.end() && above->first < next_ + needed) in_the_way = &above->second;
      if (above != blocks_.begin()) {
        const HeapBlock& below = std::prev(above)->second.known;
        if (below.begin + below.bytes + kAlignment > next_) {
          in_the_way = &std::prev(above)->second;
        }
      }
      if (in_the_way == nullptr) return std::exchange(next_, next_ + needed);
      next_ = in_the_way->known.begin + footprint(in_the_way->known.bytes);
    }
    next_ = begin_;
  }
  return std::nullopt;
}

void DeviceHeap::make_usable(DeviceAddress begin) {
  const std::unique_lock lock(mutex_);
  const auto found = blocks_.find(begin);
  if (found != blocks_.end()) found->second.usable = true;
}

void DeviceHeap::free(DeviceAddress address) {
  const std::unique_lock lock(mutex_);
  const auto found = blocks_.find(address);
  if (found == blocks_.end()) {
    throw AccessError("free of what is not the beginning of an allocation: " + missed(address, 1));
  }
  const HeapBlock known = found->second.known;
  blocks_.erase(found);
  freed_[address] = known;
  if (freed_.size() > kMostRemembered) freed_.erase(freed_.begin());
  used_[static_cast<size_t>(known.device)] -= known.bytes;
  clear_pages(host(address), known.bytes);
  clear_pages(marks(address), known.bytes);
}

std::optional<HeapBlock> DeviceHeap::block(DeviceAddress address) const {
  const std::shared_lock lock(mutex_);
  const Block* const found = block_at(address);
  if (found == nullptr) return std::nullopt;
  return found->known;
}

Allocation DeviceHeap::find(DeviceAddress address, size_t bytes) const {
  const std::shared_lock lock(mutex_);
  const Block& block = checked(address, bytes);
  if (!block.usable) {
    throw AccessError("use before its cudaMallocAsync was reached in stream order, of " +
                      describe_block(block.known));
  }
  const HeapBlock& known = block.known;
  return {.begin = known.begin,
          .end = known.begin + known.bytes,
          .host = host(known.begin),
          .written = marks(known.begin)};
}

void DeviceHeap::check_allocated(DeviceAddress address, size_t bytes) const {
  const std::shared_lock lock(mutex_);
  checked(address, bytes);
}

size_t DeviceHeap::used(int device) const {
  const std::shared_lock lock(mutex_);
  return used_[static_cast<size_t>(device)];
}

std::string DeviceHeap::describe(DeviceAddress address) const {
  const std::shared_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return "device memory";
  const Block* const found = block_at(address);
  return found == nullptr ? missed(address, 1) : describe_block(found->known);
}

const DeviceHeap::Block* DeviceHeap::block_at(DeviceAddress address) const {
  auto above = blocks_.upper_bound(address);
  if (above == blocks_.begin()) return nullptr;
  const Block& block = std::prev(above)->second;
  return address - block.known.begin < block.known.bytes ? &block : nullptr;
}

const DeviceHeap::Block& DeviceHeap::checked(DeviceAddress address, size_t bytes) const {
  const Block* const block = block_at(address);
  if (block == nullptr || bytes > block->known.begin + block->known.bytes - address) {
    throw AccessError(missed(address, bytes));
  }
  return *block;
}

/// Why [address, address + bytes) is not inside an allocation.
std::string DeviceHeap::missed(DeviceAddress address, size_t bytes) const {
  const auto freed = freed_.upper_bound(address);
  if (freed != freed_.begin()) {
    const HeapBlock& known = std::prev(freed)->second;
    if (address - known.begin < std::max<size_t>(known.bytes, 1)) {
      return "use after free of " + describe_block(known);
    }
  }
  const auto above = blocks_.upper_bound(address);
  if (above != blocks_.begin()) {
    const HeapBlock& below = std::prev(above)->second.known;
    const DeviceAddress end = below.begin + below.bytes;
    if (address < end || address - end < kAlignment) {
      return "out of bounds by " + grouped(address + bytes - end) + " bytes of " +
             describe_block(below);
    }
  }
  if (above != blocks_.end() && above->first - address < kAlignment) {
    return "out of bounds, " + grouped(above->first - address) + " bytes before " +
           describe_block(above->second.known);
  }
  return "no allocation there";
}

std::byte* DeviceHeap::host(DeviceAddress address) const {
  return bytes_ + (address - begin_);
}

uint8_t* DeviceHeap::marks(DeviceAddress address) const {
  return marks_ + (address - begin_);
}

}  // namespace reformer::ptx
