// cuBLAS and cuBLASLt on the stand-ins, against double loops.
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_bf16.h>

#include "tests/ptx/runtime/programs/expect.h"

#define BLAS(call) EXPECT((call) == CUBLAS_STATUS_SUCCESS)

namespace {

using program::download;
using program::upload;

float rounded(float value, cudaDataType_t type) {
  return type == CUDA_R_32F ? value : __bfloat162float(__float2bfloat16(value));
}

/// Random numbers of a type, on both sides.
struct Numbers {
  Numbers(size_t count, cudaDataType_t of, unsigned seed) : type(of), host(count) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> values(-1, 1);
    for (float& value : host) value = rounded(values(random), type);
    std::vector<__nv_bfloat16> narrow(count);
    std::transform(host.begin(), host.end(), narrow.begin(),
                   [](float value) { return __float2bfloat16(value); });
    device = type == CUDA_R_32F ? static_cast<void*>(upload(host)) : upload(narrow);
  }

  std::vector<float> now() const {
    if (type == CUDA_R_32F) return download(static_cast<const float*>(device), host.size());
    std::vector<float> values(host.size());
    const auto narrow = download(static_cast<const __nv_bfloat16*>(device), host.size());
    std::transform(narrow.begin(), narrow.end(), values.begin(),
                   [](__nv_bfloat16 value) { return __bfloat162float(value); });
    return values;
  }

  cudaDataType_t type;
  std::vector<float> host;
  void* device = nullptr;
};

struct Shape {
  int m, n, k;
};

/// A product of cuBLASLt with all that belongs to it.
struct Product {
  Product(Shape of, bool ta, bool tb, cudaDataType_t input, cudaDataType_t output, int batches = 1)
      : shape(of),
        transpose_a(ta),
        transpose_b(tb),
        batch(batches),
        lead_a((ta ? of.k : of.m) + 8),
        lead_b((tb ? of.n : of.k) + 8),
        lead_d(of.m + 8),
        a(static_cast<size_t>(lead_a * (ta ? of.m : of.k) * batches), input, 1),
        b(static_cast<size_t>(lead_b * (tb ? of.k : of.n) * batches), input, 2),
        d(static_cast<size_t>(lead_d * of.n * batches), output, 3),
        bias(static_cast<size_t>(of.m), output, 4) {
    BLAS(cublasLtCreate(&handle));
    BLAS(cublasLtMatmulDescCreate(&descriptor, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    const cublasOperation_t transpose = CUBLAS_OP_T;
    if (ta) set(CUBLASLT_MATMUL_DESC_TRANSA, transpose);
    if (tb) set(CUBLASLT_MATMUL_DESC_TRANSB, transpose);
    layout_a = layout(input, ta ? of.k : of.m, ta ? of.m : of.k, lead_a);
    layout_b = layout(input, tb ? of.n : of.k, tb ? of.k : of.n, lead_b);
    layout_d = layout(output, of.m, of.n, lead_d);
    BLAS(cublasLtMatmulPreferenceCreate(&preference));
    REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  }

  template <typename Value>
  void set(cublasLtMatmulDescAttributes_t name, const Value& value) {
    BLAS(cublasLtMatmulDescSetAttribute(descriptor, name, &value, sizeof value));
  }

  cublasLtMatrixLayout_t layout(cudaDataType_t type, int rows, int columns, int lead) const {
    cublasLtMatrixLayout_t made;
    BLAS(cublasLtMatrixLayoutCreate(&made, type, static_cast<uint64_t>(rows),
                                    static_cast<uint64_t>(columns), lead));
    const int64_t stride = int64_t{lead} * columns;
    BLAS(cublasLtMatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch,
                                          sizeof batch));
    BLAS(cublasLtMatrixLayoutSetAttribute(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                          &stride, sizeof stride));
    return made;
  }

  std::vector<cublasLtMatmulHeuristicResult_t> choices() const {
    std::vector<cublasLtMatmulHeuristicResult_t> found(8);
    int count = 0;
    cublasLtMatmulAlgoGetHeuristic(handle, descriptor, layout_a, layout_b, layout_d, layout_d,
                                   preference, 8, found.data(), &count);
    found.resize(static_cast<size_t>(count));
    return found;
  }

  cublasStatus_t run(float alpha, float beta, const cublasLtMatmulAlgo_t* algorithm,
                     void* workspace = nullptr, size_t bytes = 0) {
    return cublasLtMatmul(handle, descriptor, &alpha, a.device, layout_a, b.device, layout_b, &beta,
                          d.device, layout_d, d.device, layout_d, algorithm, workspace, bytes,
                          stream);
  }

  /// The result against double loops.
  void compare(float alpha, float beta, bool with_bias, bool relu) const {
    REQUIRE(cudaStreamSynchronize(stream));
    const std::vector<float> result = d.now();
    const double tolerance = d.type == CUDA_R_32F ? 1e-5 : 1e-2;
    int wrong = 0;
    for (int q = 0; q < batch; ++q) {
      for (int i = 0; i < shape.m; ++i) {
        for (int j = 0; j < shape.n; ++j) {
          double sum = 0;
          for (int l = 0; l < shape.k; ++l) sum += element_a(q, i, l) * element_b(q, l, j);
          const auto at = static_cast<size_t>((q * shape.n + j) * lead_d + i);
          sum = alpha * sum + beta * d.host[at];
          if (with_bias) sum += bias.host[static_cast<size_t>(i)];
          if (relu) sum = std::max(sum, 0.0);
          wrong += !(std::fabs(sum - result[at]) <= tolerance * std::max(1.0, std::fabs(sum)));
        }
      }
    }
    EXPECT(wrong == 0);
  }

  double element_a(int q, int i, int l) const {
    const int columns = transpose_a ? shape.m : shape.k;
    const int at = q * lead_a * columns + (transpose_a ? i * lead_a + l : l * lead_a + i);
    return a.host[static_cast<size_t>(at)];
  }
  double element_b(int q, int l, int j) const {
    const int columns = transpose_b ? shape.k : shape.n;
    const int at = q * lead_b * columns + (transpose_b ? l * lead_b + j : j * lead_b + l);
    return b.host[static_cast<size_t>(at)];
  }

  Shape shape;
  bool transpose_a, transpose_b;
  int batch;
  int lead_a, lead_b, lead_d;
  Numbers a, b, d, bias;
  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t descriptor = nullptr;
  cublasLtMatrixLayout_t layout_a = nullptr, layout_b = nullptr, layout_d = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cudaStream_t stream = nullptr;
};

void test_lt() {
  for (const cudaDataType_t input : {CUDA_R_32F, CUDA_R_16BF}) {
    for (const cudaDataType_t output : {CUDA_R_32F, CUDA_R_16BF}) {
      if (input == CUDA_R_32F && output != input) continue;
      for (int variant = 0; variant < 16; ++variant) {
        Product product({40, 24, 56}, variant & 1, variant & 2, input, output, variant & 8 ? 3 : 1);
        const bool full = variant & 4;
        if (full) {
          product.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_RELU_BIAS);
          product.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, product.bias.device);
        }
        const float alpha = full ? 1.5f : 1;
        const float beta = full ? 0.5f : 0;
        const auto choices = product.choices();
        EXPECT(!choices.empty());
        BLAS(product.run(alpha, beta, &choices.at(0).algo));
        product.compare(alpha, beta, full, full);
      }
    }
  }
}

void test_algorithms() {
  Product product({32, 32, 512}, false, false, CUDA_R_32F, CUDA_R_32F);
  const size_t bytes = 1 << 20;
  void* workspace = nullptr;
  REQUIRE(cudaMalloc(&workspace, bytes));
  BLAS(cublasLtMatmulPreferenceSetAttribute(
      product.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes));
  const auto choices = product.choices();
  EXPECT(choices.size() >= 2);
  EXPECT(choices.at(0).workspaceSize > 0);  // two parts of k
  EXPECT(product.run(1, 0, &choices.at(0).algo) == CUBLAS_STATUS_INVALID_VALUE);
  BLAS(product.run(1, 0, &choices.at(0).algo, workspace, bytes));
  product.compare(1, 0, false, false);
  const std::vector<float> in_parts = product.d.now();
  BLAS(product.run(1, 0, &choices.at(1).algo));
  product.compare(1, 0, false, false);
  EXPECT(product.d.now() != in_parts);

  // A pinned algorithm, by its number, for a problem of another size.
  int ids[4];
  int count = 0;
  BLAS(cublasLtMatmulAlgoGetIds(product.handle, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F,
                                CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, 4, ids, &count));
  EXPECT(count == 2);
  cublasLtMatmulAlgo_t pinned;
  BLAS(cublasLtMatmulAlgoInit(product.handle, CUBLAS_COMPUTE_32F, CUDA_R_32F, CUDA_R_32F,
                              CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, ids[0], &pinned));
  Product other({24, 16, 512}, false, false, CUDA_R_32F, CUDA_R_32F);
  cublasLtMatmulHeuristicResult_t checked;
  BLAS(cublasLtMatmulAlgoCheck(other.handle, other.descriptor, other.layout_a, other.layout_b,
                               other.layout_d, other.layout_d, &pinned, &checked));
  EXPECT(checked.workspaceSize == 0);
  BLAS(other.run(1, 0, &pinned));
  other.compare(1, 0, false, false);
  BLAS(other.run(1, 0, nullptr));  // the library's own choice
  other.compare(1, 0, false, false);
}

void test_wrong_calls() {
  Product product({32, 32, 32}, false, false, CUDA_R_16BF, CUDA_R_16BF);
  const auto choices = product.choices();
  void* const right = product.a.device;
  product.a.device = static_cast<char*>(right) + 2;
  EXPECT(product.run(1, 0, &choices.at(0).algo) == CUBLAS_STATUS_INVALID_VALUE);
  product.a.device = nullptr;
  EXPECT(product.run(1, 0, &choices.at(0).algo) == CUBLAS_STATUS_INVALID_VALUE);
  product.a.device = right;
  product.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
  EXPECT(product.run(1, 0, &choices.at(0).algo) == CUBLAS_STATUS_INVALID_VALUE);
  product.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_GELU);
  EXPECT(product.run(1, 0, &choices.at(0).algo) == CUBLAS_STATUS_NOT_SUPPORTED);
  product.set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_DEFAULT);
  product.layout_b = product.layout(CUDA_R_16BF, 31, 32, 40);
  EXPECT(product.run(1, 0, &choices.at(0).algo) == CUBLAS_STATUS_INVALID_VALUE);
  product.layout_b = product.layout(CUDA_R_16BF, 32, 32, 31);
  EXPECT(product.run(1, 0, &choices.at(0).algo) == CUBLAS_STATUS_INVALID_VALUE);
  // An odd leading dimension leaves the algorithm that takes any.
  product.layout_b = product.layout(CUDA_R_16BF, 32, 32, 33);
  EXPECT(product.run(1, 0, &choices.at(0).algo) == CUBLAS_STATUS_NOT_SUPPORTED);
  EXPECT(product.choices().size() == 1);
}

void test_cublas() {
  constexpr int kM = 37, kN = 29, kK = 53, kBatch = 3;
  cublasHandle_t handle;
  BLAS(cublasCreate(&handle));
  cudaStream_t stream;
  REQUIRE(cudaStreamCreate(&stream));
  BLAS(cublasSetStream(handle, stream));
  const Numbers a(kM * kK * kBatch, CUDA_R_32F, 1);
  const Numbers b(kN * kK * kBatch, CUDA_R_32F, 2);
  const Numbers c(kM * kN * kBatch, CUDA_R_32F, 3);
  const float alpha = 1.5f;
  const float beta = 0.5f;
  BLAS(cublasGemmStridedBatchedEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, kM, kN, kK, &alpha, a.device,
                                  CUDA_R_32F, kK, kM * kK, b.device, CUDA_R_32F, kK, kN * kK, &beta,
                                  c.device, CUDA_R_32F, kM, kM * kN, kBatch, CUBLAS_COMPUTE_32F,
                                  CUBLAS_GEMM_DEFAULT));
  REQUIRE(cudaStreamSynchronize(stream));
  const std::vector<float> result = c.now();
  int wrong = 0;
  for (int at = 0; at < kM * kN * kBatch; ++at) {
    const int q = at / (kM * kN), j = at / kM % kN, i = at % kM;
    double sum = 0;
    for (int l = 0; l < kK; ++l) {
      sum += double{a.host[static_cast<size_t>((q * kM + i) * kK + l)]} *
             b.host[static_cast<size_t>((q * kN + j) * kK + l)];
    }
    sum = alpha * sum + beta * c.host[static_cast<size_t>(at)];
    wrong += !(std::fabs(sum - result[static_cast<size_t>(at)]) <= 1e-4);
  }
  EXPECT(wrong == 0);
  const auto* const first = static_cast<const float*>(a.device);
  auto* const target = static_cast<float*>(c.device);
  EXPECT(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, kM, kN, kK, &alpha, first, kM - 1, first, kK,
                     &beta, target, kM) == CUBLAS_STATUS_INVALID_VALUE);
  BLAS(cublasDestroy(handle));
}

/// Faults, by name: a matrix that leaves its allocation, and one that nobody has written.
int fail(const std::string& fault) {
  Product product({32, 32, 32}, false, false, CUDA_R_32F, CUDA_R_32F);
  const auto choices = product.choices();
  if (fault == "out-of-bounds") product.layout_b = product.layout(CUDA_R_32F, 32, 32, 44);
  if (fault == "unwritten") REQUIRE(cudaMalloc(&product.a.device, product.a.host.size() * 4));
  BLAS(product.run(1, 0, &choices.at(0).algo));
  std::printf("%s\n", cudaGetErrorName(cudaStreamSynchronize(product.stream)));
  return cudaGetLastError() != cudaSuccess;
}

}  // namespace

int main(int count, char** arguments) {
  if (count > 1) return fail(arguments[1]);
  test_lt();
  test_algorithms();
  test_wrong_calls();
  test_cublas();
  return program::finish();
}
