#include "tests/ptx/runtime/runtime.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <stdexcept>

#include <unistd.h>

namespace reformer::ptx {
namespace {

Settings settings_or_exit() {
  try {
    return read_settings([](const char* name) { return std::getenv(name); });
  } catch (const std::runtime_error& error) {
    report(error.what());
    _exit(2);
  }
}

struct sigaction earlier_action;

/// Says so when the host has touched device memory; then what was there before takes its course.
void on_segmentation_fault(int, siginfo_t* info, void*) {
  Runtime& runtime = Runtime::instance();
  if (runtime.memory.is_device(info->si_addr)) {
    const auto address = reinterpret_cast<DeviceAddress>(info->si_addr);
    report("host code touched device memory at " + hexadecimal(info->si_addr) + " (" +
           runtime.memory.heap().describe(address) + ")");
  }
  sigaction(SIGSEGV, &earlier_action, nullptr);
}

void catch_segmentation_faults() {
  struct sigaction action = {};
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = on_segmentation_fault;
  sigaction(SIGSEGV, &action, &earlier_action);
}

void write_coverage(const Runtime& runtime) {
  const std::filesystem::path folder = runtime.settings.coverage;
  if (folder.empty() || runtime.coverage.kernels.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  std::ofstream file(folder / (std::to_string(getpid()) + ".coverage"));
  runtime.coverage.write(file);
  if (!file.flush()) report("the coverage cannot be written to " + folder.string());
}

void at_exit() {
  Runtime& runtime = Runtime::instance();
  if (getpid() != runtime.process) return;  // forked, without our threads
  runtime.queue.stop();
  write_coverage(runtime);
}

int& thread_device() {
  thread_local int device = 0;
  return device;
}

cudaError_t result_of(const std::function<cudaError_t(Runtime&)>& body, Runtime& runtime) {
  try {
    return body(runtime);
  } catch (const CallError& error) {
    return error.error();
  } catch (const AccessError& error) {
    report(error.what());
    return cudaErrorInvalidValue;
  } catch (const std::bad_alloc&) {
    return cudaErrorMemoryAllocation;
  } catch (const std::exception& error) {
    report(error.what());
    return cudaErrorInvalidKernelImage;
  }
}

}  // namespace

void report(const std::string& message) {
  const std::string line = "ptx: " + message + "\n";
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
}

Runtime& Runtime::instance() {
  static Runtime* const runtime = [] {
    auto* const made = new Runtime(settings_or_exit());
    catch_segmentation_faults();
    std::atexit([] { at_exit(); });
    return made;
  }();
  return *runtime;
}

Runtime::Runtime(const Settings& the_settings)
    : process(getpid()),
      settings(the_settings),
      memory(settings.devices, settings.memory, settings.unwritten_copies),
      modules(memory, settings.devices, settings.highest_arch),
      queue(settings.queue, settings.devices) {}

int Runtime::device() const {
  return thread_device();
}

void Runtime::set_device(int device) {
  thread_device() = device;
}

Stream* Runtime::stream(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return queue.default_stream(device());
  if (handle == cudaStreamPerThread) {
    const std::lock_guard lock(mutex_);
    Stream*& stream = thread_streams_[{std::this_thread::get_id(), device()}];
    if (stream == nullptr) stream = queue.create_stream(device(), true);
    return stream;
  }
  auto* const stream = reinterpret_cast<Stream*>(handle);
  if (!queue.is_stream(stream)) throw CallError(cudaErrorInvalidResourceHandle);
  return stream;
}

cudaError_t Runtime::device_error() const {
  return static_cast<cudaError_t>(queue.error(device()));
}

cudaError_t& last_error() {
  thread_local cudaError_t error = cudaSuccess;
  return error;
}

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) last_error() = error;
  return error;
}

cudaError_t call(const std::function<cudaError_t(Runtime&)>& body) {
  return remember(result_of(body, Runtime::instance()));
}

cudaError_t device_call(const std::function<cudaError_t(Runtime&)>& body) {
  return call([&](Runtime& runtime) {
    if (runtime.settings.devices == 0) return cudaErrorNoDevice;
    const cudaError_t before = runtime.device_error();
    if (before != cudaSuccess) return before;
    return body(runtime);
  });
}

Step checked_step(std::string what, std::function<void()> body) {
  return [what = std::move(what), body = std::move(body)]() -> StepResult {
    try {
      body();
      return {};
    } catch (const AccessError& error) {
      report(what + ": " + error.what());
      return {.error = cudaErrorIllegalAddress};
    }
  };
}

std::string hexadecimal(const void* pointer) {
  char text[24];
  std::snprintf(text, sizeof text, "%p", pointer);
  return text;
}

}  // namespace reformer::ptx
