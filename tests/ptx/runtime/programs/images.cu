// Several objects, each with several images: all must agree on the one that is taken.
#include "tests/ptx/runtime/programs/expect.h"

void triple(int* values);

namespace {

__global__ void add_arch(int* values) {
#ifdef __CUDA_ARCH__
  values[threadIdx.x] = static_cast<int>(threadIdx.x) + __CUDA_ARCH__;
#endif
}

}  // namespace

int main(int, char** arguments) {
  int* values = nullptr;
  REQUIRE(cudaMalloc(&values, 33 * sizeof(int)));
  add_arch<<<1, 33>>>(values);
  triple(values);
  const int arch = program::download(values, 33)[0] / 3;
  std::printf("compute_%d\n", arch / 10);
  EXPECT(arch == std::atoi(arguments[1]) * 10);
  EXPECT(program::download(values, 33)[5] == (5 + arch) * 3);
  return program::finish();
}
