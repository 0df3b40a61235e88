#include "comm/nccl.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <sstream>

#include <fmt/format.h>

#include "comm/nccl_world.h"
#include "kernels/core/errors.h"

namespace reformer {
namespace {

using Clock = std::chrono::steady_clock;

/// How long a wait for the host's communicator may not notice that NCCL's has failed.
constexpr std::chrono::milliseconds kNoticeInterval{50};

/// Of an operation on host memory: a failure on the GPU ends it as well.
class HostCompletion final : public Completion {
 public:
  HostCompletion(std::shared_ptr<nccl::World> world, std::unique_ptr<Completion> inner)
      : world_(std::move(world)), inner_(std::move(inner)) {}

  bool wait_until(Clock::time_point deadline) override {
    for (;;) {
      const Clock::time_point next = std::min(deadline, Clock::now() + kNoticeInterval);
      if (inner_->wait_until(next)) return true;
      world_->require_sound();
      if (next == deadline) return false;
    }
  }

 private:
  std::shared_ptr<nccl::World> world_;
  std::unique_ptr<Completion> inner_;
};

class DeviceCompletion final : public Completion {
 public:
  DeviceCompletion(std::shared_ptr<nccl::World> world, std::shared_ptr<nccl::Started> started)
      : world_(std::move(world)), started_(std::move(started)) {}

  ~DeviceCompletion() override {
    if (!is_waited_for_) world_->give_up(*started_);
  }

  bool wait_until(Clock::time_point) override {
    world_->wait(*started_);
    is_waited_for_ = true;
    return true;
  }

  void when_complete(const std::function<void()>& then) override {
    world_->when_complete(*started_, then);
  }

 private:
  std::shared_ptr<nccl::World> world_;
  std::shared_ptr<nccl::Started> started_;
  bool is_waited_for_ = false;
};

class NcclCommunicator final : public Communicator {
 public:
  /// `host` has the same ranks, and is owned by this one if it is `owned_host`.
  NcclCommunicator(std::shared_ptr<nccl::World> world, const nccl::Group& group, Communicator& host,
                   std::unique_ptr<Communicator> owned_host, CommunicatorSetup setup)
      : Communicator(host.rank(), host.size(), std::move(setup)),
        world_(std::move(world)),
        group_(group),
        host_(host),
        owned_host_(std::move(owned_host)) {}

  ~NcclCommunicator() override { world_->leave(group_, setup().timeout); }

  std::string description() const override {
    return fmt::format("{}, {}", host_.description(), nccl_library_version());
  }

 private:
  std::unique_ptr<Completion> begin(const Operation& operation) override {
    world_->require_sound();
    if (!nccl::is_on_device(operation)) {
      return std::make_unique<HostCompletion>(world_, begin_in(host_, operation));
    }
    return std::make_unique<DeviceCompletion>(world_,
                                              world_->start(operation, group_, setup().timeout));
  }

  std::unique_ptr<Communicator> begin_split(const Operation& operation) override {
    world_->require_sound();
    std::unique_ptr<Communicator> host = begin_split_in(host_, operation);
    const nccl::Group group =
        world_->split(group_, operation.peer, describe(operation), setup().timeout);
    CHECK_EQ(group.rank, host->rank());
    CHECK_EQ(group.size, host->size());
    Communicator& ranks = *host;
    return std::make_unique<NcclCommunicator>(world_, group, ranks, std::move(host), setup());
  }

  std::shared_ptr<nccl::World> world_;
  nccl::Group group_;
  Communicator& host_;
  std::unique_ptr<Communicator> owned_host_;
};

/// The unique id that rank 0 has made, on all ranks.
ncclUniqueId share_id(Communicator& ranks) {
  ncclUniqueId id{};
  std::string text;
  if (ranks.rank() == 0 && ncclGetUniqueId(&id) == ncclSuccess) {
    text.assign(id.internal, sizeof(id.internal));
  }
  text = ranks.broadcast_text(text, 0, "id of NCCL");
  if (text.size() != sizeof(id.internal)) {
    throw CommError("[nccl] rank 0 has no network interface for NCCL; NCCL_DEBUG=WARN says more");
  }
  std::memcpy(id.internal, text.data(), sizeof(id.internal));
  return id;
}

/// What tells a GPU from all others of its machine.
std::string bus_id(int device) {
  std::array<int, 3> place{};
  constexpr std::array kAttributes{cudaDevAttrPciDomainId, cudaDevAttrPciBusId,
                                   cudaDevAttrPciDeviceId};
  for (size_t i = 0; i < place.size(); ++i) {
    nccl::check(cudaDeviceGetAttribute(&place[i], kAttributes[i], device),
                "cudaDeviceGetAttribute");
  }
  return fmt::format("{:04x}:{:02x}:{:02x}", place[0], place[1], place[2]);
}

}  // namespace

std::string nccl_library_version() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "NCCL";
  return fmt::format("NCCL {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

int choose_device(MpiWorld& world) {
  // Whatever is wrong with one rank's GPUs, all ranks come to the exchange, and all fail.
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess) devices = 0;
  if (devices == 0) cudaGetLastError();  // not to be met by a later call
  const int device = devices >= world.local_ranks() ? world.local_rank() : 0;
  const std::string own =
      fmt::format("{} {} {}", world.host(), devices, devices == 0 ? "" : bus_id(device));
  std::map<std::string, std::vector<int>> ranks_of;
  const std::vector<std::string> all = world.ranks().gather_text(own, "GPUs of all ranks");
  for (size_t rank = 0; rank < all.size(); ++rank) {
    ranks_of[all[rank]].push_back(static_cast<int>(rank));
  }
  for (const auto& [gpu, ranks] : ranks_of) {
    std::string host;
    std::string shown;
    std::string place;
    std::istringstream(gpu) >> host >> shown >> place;
    if (ranks.size() == 1 && shown != "0") continue;
    const char* const fault = shown == "0" ? "no GPU" : "two ranks on one GPU";
    throw DeviceError(
        fmt::format("[nccl] {}: {} shows {} to rank{} {}; start one rank for each GPU, which "
                    "CUDA_VISIBLE_DEVICES may hide",
                    fault, host, shown == "1" ? "1 device (" + place + ")" : shown + " devices",
                    ranks.size() == 1 ? "" : "s", fmt::join(ranks, ", ")));
  }
  return device;
}

std::unique_ptr<Communicator> make_nccl_communicator(MpiWorld& world, void* compute_stream,
                                                     const CommunicatorSetup& setup) {
  Communicator& ranks = world.ranks();
  const auto shared = std::make_shared<nccl::World>(
      nccl::World::Args{.who = fmt::format("rank {} on {}", ranks.rank(), world.host()),
                        .compute_stream = static_cast<cudaStream_t>(compute_stream),
                        .recorder = setup.recorder});
  const nccl::Group group =
      shared->meet(share_id(ranks), ranks.rank(), ranks.size(), setup.timeout);
  return std::make_unique<NcclCommunicator>(shared, group, ranks, nullptr, setup);
}

}  // namespace reformer
