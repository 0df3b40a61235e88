// LSH attention against the numbers of make_oracle.py, in modes that Hugging Face's library has
// not.
#include <gtest/gtest.h>

#include "kernels/cpu/ops.h"
#include "kernels/cpu/thread_pool.h"
#include "tests/kernels/op_testing.h"
#include "tests/reference/lsh.h"
#include "trainer/weights/safetensors.h"

namespace reformer {
namespace {

using testing::relative_error;
using testing::to_doubles;

constexpr const char* kGolden = "tests/golden/oracle.safetensors";
constexpr int64_t kBuckets = 4;
constexpr int64_t kChunk = 5;

/// Of a token that sees nobody else the log-sum-exp says only that.
testing::Doubles without_self_scores(const Tensor& lse) {
  testing::Doubles values = to_doubles(lse);
  for (double& value : values) {
    if (value < 0.9 * static_cast<double>(kSelfScore)) value = 99;
  }
  return values;
}

class OracleTest : public ::testing::TestWithParam<std::string> {
 protected:
  Tensor read(const std::string& key, DType dtype) const {
    return file_.read(GetParam() + "/" + key, dtype);
  }

  const SafetensorsFile file_{kGolden};
};

TEST_P(OracleTest, ForwardAndBackwardPassAgree) {
  const Tensor query = read("query", DType::kFloat32);
  const Tensor value = read("value", DType::kFloat32);
  const Tensor dout = read("dout", DType::kFloat32);
  const Tensor mask = read("mask", DType::kUint8);
  const Tensor buckets = read("buckets", DType::kInt32);  // [H, R, T]
  const Tensor settings = read("settings", DType::kInt32);
  const int32_t* const setting = settings.data<int32_t>();
  const int64_t length = query.shape()[0];
  AttentionPattern pattern;
  pattern.kind = setting[0] != 0 ? AttentionKind::kStrict : AttentionKind::kChunked;
  pattern.rounds = setting[1];
  pattern.same_bucket_only = setting[2] != 0;
  pattern.correct_duplicates = setting[3] != 0;
  pattern.causal = setting[4] != 0;
  pattern.heads = buckets.shape()[0];
  pattern.head_dim = query.shape()[1] / pattern.heads;
  pattern.chunk_length = kChunk;

  const reference::SortedBuckets sorted = reference::bucket_sort(
      {buckets.data<int32_t>(), buckets.data<int32_t>() + buckets.elements()}, length, kBuckets);
  Tensor order(DType::kInt32, {1, pattern.heads, pattern.rounds, length});
  Tensor bucket_begin(DType::kInt32, {1, pattern.heads, pattern.rounds, kBuckets + 2});
  std::copy(sorted.order.begin(), sorted.order.end(), order.data<int32_t>());
  std::copy(sorted.bucket_begin.begin(), sorted.bucket_begin.end(), bucket_begin.data<int32_t>());

  Tensor out(DType::kFloat32, query.shape());
  Tensor lse(DType::kFloat32, {1, pattern.heads, length});
  Tensor dquery(DType::kFloat32, query.shape());
  Tensor dvalue(DType::kFloat32, query.shape());
  const AttentionArgs forward{.layout = {.length = length},
                              .pattern = pattern,
                              .dropout = {},
                              .query = query.view(),
                              .key = {},
                              .value = value.view(),
                              .order = order.view(),
                              .bucket_begin = bucket_begin.view(),
                              .mask = mask.view().reshape({1, length}),
                              .out = out.view(),
                              .lse = lse.view()};
  cpu::ThreadPool pool(1);
  cpu::attention(pool, forward);
  cpu::attention_backward(pool, {.forward = forward,
                                 .dout = dout.view(),
                                 .dquery = dquery.view(),
                                 .dkey = {},
                                 .dvalue = dvalue.view()});
  const auto error = [&](const Tensor& actual, const std::string& key) {
    return relative_error(to_doubles(actual), to_doubles(read(key, DType::kFloat64)));
  };
  EXPECT_LT(error(out, "out"), 2e-6);
  EXPECT_LT(
      relative_error(without_self_scores(lse), without_self_scores(read("lse", DType::kFloat64))),
      2e-6);
  EXPECT_LT(error(dquery, "dquery"), 5e-6);
  EXPECT_LT(error(dvalue, "dvalue"), 5e-6);
}

INSTANTIATE_TEST_SUITE_P(Cases, OracleTest,
                         ::testing::Values("strict", "strict_rounds", "strict_corrected",
                                           "strict_masked", "own_bucket", "own_bucket_corrected",
                                           "corrected", "bidirectional"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace reformer
