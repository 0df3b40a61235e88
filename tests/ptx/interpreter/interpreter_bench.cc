// Not a test: million thread-instructions a second of a few kernels, without and with checks.
//   build/release/tests/ptx/interpreter/ptx_interpreter_bench
#include <algorithm>
#include <ctime>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "tests/ptx/interpreter/heap_memory.h"
#include "tests/ptx/interpreter/interpreter.h"

namespace reformer::ptx {
namespace {

// c[i] = a[i] + b[i]
const char* const kAdd = R"(.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n)
{
  .reg .pred %p;
  .reg .f32 %f<4>;
  .reg .b32 %r<6>;
  .reg .b64 %rd<11>;
  ld.param.u64 %rd1, [a];
  ld.param.u64 %rd2, [b];
  ld.param.u64 %rd3, [c];
  ld.param.u32 %r2, [n];
  mov.u32 %r3, %ctaid.x;
  mov.u32 %r4, %ntid.x;
  mov.u32 %r5, %tid.x;
  mad.lo.s32 %r1, %r3, %r4, %r5;
  setp.ge.s32 %p, %r1, %r2;
  @%p bra end;
  mul.wide.s32 %rd5, %r1, 4;
  add.s64 %rd6, %rd1, %rd5;
  add.s64 %rd8, %rd2, %rd5;
  ld.global.f32 %f1, [%rd6];
  ld.global.f32 %f2, [%rd8];
  add.f32 %f3, %f1, %f2;
  add.s64 %rd10, %rd3, %rd5;
  st.global.f32 [%rd10], %f3;
end:
  ret;
})";

// 16 multiply-adds from shared memory, again and again, as in a tiled matrix product.
std::string tile_kernel() {
  std::string text = R"(.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n)
{
  .shared .align 4 .b8 s[2048];
  .reg .pred %p;
  .reg .f32 %f<4>;
  .reg .b32 %r<8>;
  .reg .b64 %rd<4>;
  ld.param.u64 %rd1, [a];
  ld.param.u64 %rd3, [c];
  mov.u32 %r1, %tid.x;
  mov.u32 %r6, %ctaid.x;
  mad.lo.u32 %r6, %r6, 256, %r1;
  mad.wide.u32 %rd1, %r6, 4, %rd1;
  mad.wide.u32 %rd3, %r6, 4, %rd3;
  mov.u32 %r2, s;
  mad.lo.u32 %r3, %r1, 4, %r2;
  and.b32 %r4, %r1, 15;
  mad.lo.u32 %r4, %r4, 4, %r2;
  mov.f32 %f1, 0f00000000;
  mov.u32 %r5, 0;
again:
  ld.global.f32 %f2, [%rd1];
  st.shared.f32 [%r3], %f2;
  bar.sync 0;
)";
  for (int i = 0; i < 16; ++i) {
    text += fmt::format("  ld.shared.f32 %f2, [%r4+{}];\n  ld.shared.f32 %f3, [%r2+{}];\n", 64 * i,
                        4 * i);
    text += "  fma.rn.f32 %f1, %f2, %f3, %f1;\n";
  }
  return text + R"(  bar.sync 0;
  add.u32 %r5, %r5, 1;
  setp.lt.u32 %p, %r5, 16;
  @%p bra again;
  st.global.f32 [%rd3], %f1;
  ret;
})";
}

const char* const kMatrix = R"(.version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n)
{
  .shared .align 16 .b8 s[4096];
  .reg .pred %p;
  .reg .f32 %f<4>;
  .reg .b32 %r<12>;
  mov.u32 %r1, %tid.x;
  mov.u32 %r2, s;
  mad.lo.u32 %r2, %r1, 16, %r2;
  st.shared.v4.u32 [%r2], {0, 0, 0, 0};
  bar.sync 0;
  mov.f32 %f0, 0f00000000;
  mov.f32 %f1, 0f00000000;
  mov.f32 %f2, 0f00000000;
  mov.f32 %f3, 0f00000000;
  mov.u32 %r3, 0;
again:
  ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r4, %r5, %r6, %r7}, [%r2];
  ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r8, %r9}, [%r2];
  mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f0, %f1, %f2, %f3}, {%r4, %r5, %r6, %r7}, {%r8, %r9}, {%f0, %f1, %f2, %f3};
  add.u32 %r3, %r3, 1;
  setp.lt.u32 %p, %r3, 100;
  @%p bra again;
  ret;
})";

void measure(const char* name, const std::string& text, std::uint32_t blocks,
             const LaunchOptions& options, const char* checks) {
  HeapMemory memory;
  Module module = Module::parse(text);
  module.load(memory);
  const std::size_t count = std::size_t{blocks} * 256;
  const std::vector<float> ones(count, 1.0F);
  const DeviceAddress a = memory.allocate(ones), b = memory.allocate(ones);
  const DeviceAddress c = memory.allocate(count * 4);
  const auto n = static_cast<std::uint32_t>(count);
  const std::vector<const void*> arguments = {&a, &b, &c, &n};
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const std::clock_t begin = std::clock();  // the machine may have other things to do
    const std::uint64_t executed =
        launch(module.kernel("k"), {.grid = {blocks}, .block = {256}}, arguments, memory, options);
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    best = std::max(best, static_cast<double>(executed) / seconds / 1e6);
  }
  fmt::print("{:12} {:24} {:5.0f}\n", name, checks, best);
}

}  // namespace
}  // namespace reformer::ptx

int main() {
  using namespace reformer::ptx;
  const std::vector<std::pair<const char*, LaunchOptions>> checks = {
      {"bounds only", {.shared_races = false, .unwritten_global = false}},
      {"default", {}},
      {"also lane races", {.lane_races = true}},
      {"also global races", {.global_races = true}},
  };
  for (const auto& [name, options] : checks) {
    measure("add", kAdd, 2000, options, name);
    measure("tile", tile_kernel(), 16, options, name);
    measure("mma", kMatrix, 16, options, name);
  }
}
