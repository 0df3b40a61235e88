#include "tests/ptx/interpreter/testing.h"

#include <cmath>
#include <limits>

namespace reformer::ptx::testing {

std::string kernel_around(const std::string& code, std::size_t bytes) {
  const std::string result = bytes == 2   ? "cvt.u64.u16 %D, %hd;"
                             : bytes == 4 ? "cvt.u64.u32 %D, %d;"
                                          : "";
  return std::string(kHeader) + R"(
.visible .entry k(.param .u64 in, .param .u64 out)
{
  .reg .pred %p, %q;
  .reg .b16 %ha, %hb, %hc, %hd;
  .reg .b32 %a, %b, %c, %e, %d, %t, %x<8>;
  .reg .b64 %A, %B, %C, %E, %D, %in, %out, %X<8>;
  ld.param.u64 %in, [in];
  ld.param.u64 %out, [out];
  mov.u32 %x0, %ctaid.x;
  mov.u32 %x1, %ntid.x;
  mov.u32 %t, %tid.x;
  mad.lo.s32 %t, %x0, %x1, %t;
  mad.wide.u32 %in, %t, 32, %in;
  mad.wide.u32 %out, %t, 8, %out;
  ld.global.v2.u64 {%A, %B}, [%in];
  ld.global.v2.u64 {%C, %E}, [%in+16];
  cvt.u32.u64 %a, %A;
  cvt.u32.u64 %b, %B;
  cvt.u32.u64 %c, %C;
  cvt.u32.u64 %e, %E;
  cvt.u16.u64 %ha, %A;
  cvt.u16.u64 %hb, %B;
  cvt.u16.u64 %hc, %C;
  )" + code +
         "\n  " + result + R"(
  st.global.u64 [%out], %D;
  ret;
}
)";
}

std::vector<u64> evaluate(const std::string& code, std::size_t bytes, const std::vector<Row>& rows,
                          const LaunchOptions& options) {
  Device device(kernel_around(code, bytes));
  // Whole warps: threads beyond the rows repeat the last one.
  std::vector<Row> padded = rows;
  padded.resize((rows.size() + 31) / 32 * 32, rows.back());
  const DeviceAddress in = device.memory.allocate(padded);
  const DeviceAddress out = device.memory.allocate(padded.size() * 8);
  const auto blocks = static_cast<std::uint32_t>(padded.size() / 32);
  device.run("k", {.grid = {blocks}, .block = {32}}, {in, out}, options);
  return device.memory.read<u64>(out, rows.size());
}

std::vector<Row> pairs(const std::vector<u64>& values) {
  std::vector<Row> rows;
  for (const u64 a : values) {
    for (const u64 b : values) {
      const u64 c = values[rows.size() * 7 % values.size()];
      rows.push_back({a, b, c, values[rows.size() * 3 % values.size()]});
    }
  }
  return rows;
}

std::vector<u64> awkward_integers() {
  std::vector<u64> values = {0,
                             1,
                             2,
                             3,
                             5,
                             31,
                             32,
                             33,
                             63,
                             64,
                             100,
                             0x7f,
                             0x80,
                             0xff,
                             0x7fff,
                             0x8000,
                             0xffff,
                             0x10000,
                             0x7fffffff,
                             0x80000000,
                             0xffffffff,
                             0x123456789abcdef0,
                             0x7fffffffffffffff,
                             0x8000000000000000,
                             0xfffffffffffffffe,
                             0xffffffffffffffff};
  return values;
}

std::vector<u64> awkward_floats() {
  using Limits = std::numeric_limits<float>;
  std::vector<u64> values;
  for (const float value : {0.0F, 1.0F, 1.5F, 2.5F, 3.0F, 0.1F, 1.0e-3F, 123456.789F, 1.0e10F,
                            2147483648.0F, 16777217.0F, Limits::min(), Limits::denorm_min(),
                            Limits::max(), Limits::infinity(), 1.0F + Limits::epsilon()}) {
    values.push_back(f(value));
    values.push_back(f(-value));
  }
  values.push_back(0x7fc00000);
  values.push_back(0xffc00001);
  return values;
}

std::vector<u64> awkward_doubles() {
  using Limits = std::numeric_limits<double>;
  std::vector<u64> values;
  for (const double value : {0.0, 1.0, 1.5, 2.5, 0.1, 1e100, 1e-300, 4294967296.5, Limits::min(),
                             Limits::denorm_min(), Limits::max(), Limits::infinity()}) {
    values.push_back(f(value));
    values.push_back(f(-value));
  }
  values.push_back(f(Limits::quiet_NaN()));
  return values;
}

bool same(float x, float y) {
  return (std::isnan(x) && std::isnan(y)) || std::bit_cast<u32>(x) == std::bit_cast<u32>(y);
}
bool same(double x, double y) {
  return (std::isnan(x) && std::isnan(y)) || std::bit_cast<u64>(x) == std::bit_cast<u64>(y);
}

Device::Device(const std::string& text) : module(Module::parse(text)) {
  module.load(memory);
}

std::uint64_t Device::run(const std::string& kernel, const LaunchShape& shape,
                          const std::vector<u64>& arguments, const LaunchOptions& options,
                          Coverage* coverage) {
  std::vector<const void*> pointers;
  for (const u64& argument : arguments) pointers.push_back(&argument);
  return launch(module.kernel(kernel), shape, pointers, memory, options, coverage);
}

std::string Device::fault(const std::string& kernel, const LaunchShape& shape,
                          const std::vector<u64>& arguments, const LaunchOptions& options) {
  try {
    run(kernel, shape, arguments, options);
  } catch (const Fault& fault) {
    return fault.what();
  }
  return "";
}

std::string parse_error(const std::string& text) {
  try {
    HeapMemory memory;
    Module module = Module::parse(text);
    module.load(memory);
    module.check();
  } catch (const ParseError& error) {
    return error.what();
  }
  return "";
}

}  // namespace reformer::ptx::testing
