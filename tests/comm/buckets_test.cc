// Who owns what of a bucket, and the exchange of many buckets.
#include "comm/buckets.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "comm/threads.h"

namespace reformer {
namespace {

/// The slices cover [begin, end) once and begin at multiples of the alignment.
void expect_cover(std::vector<Slice> slices, int64_t begin, int64_t end) {
  std::erase_if(slices, [](const Slice& slice) { return slice.elements() == 0; });
  std::sort(slices.begin(), slices.end(),
            [](const Slice& a, const Slice& b) { return a.begin < b.begin; });
  int64_t expected = begin;
  for (const Slice& slice : slices) {
    EXPECT_EQ(slice.begin, expected);
    EXPECT_EQ(slice.begin % kSliceAlignment, 0);
    expected = slice.end;
  }
  EXPECT_EQ(expected, end);
}

TEST(EvenSlicesTest, CoverEverythingOnceInNearlyEqualParts) {
  for (const int64_t blocks : {0, 1, 2, 7, 8, 100}) {
    for (const int ranks : {1, 2, 3, 8}) {
      SCOPED_TRACE(::testing::Message() << blocks << " blocks, " << ranks << " ranks");
      const int64_t begin = 5 * kSliceAlignment;
      const int64_t end = begin + blocks * kSliceAlignment;
      const std::vector<Slice> slices = even_slices(begin, end, ranks);
      ASSERT_EQ(slices.size(), static_cast<size_t>(ranks));
      expect_cover(slices, begin, end);
      for (const Slice& slice : slices) {
        EXPECT_GE(slice.elements(), blocks / ranks * kSliceAlignment);
        EXPECT_LE(slice.elements(), (blocks + ranks - 1) / ranks * kSliceAlignment);
      }
    }
  }
}

TEST(WholeSlicesTest, NeverCutAUnitAndTakeTurns) {
  const std::vector<int64_t> ends = {64, 128, 1152, 1216, 5312, 9408, 9472};
  std::vector<Slice> units;
  for (const int64_t end : ends) units.push_back({units.empty() ? 0 : units.back().end, end});
  for (const int ranks : {1, 2, 3, 8}) {
    for (const int first : {0, 1, 5}) {
      SCOPED_TRACE(::testing::Message() << ranks << " ranks from " << first);
      const std::vector<Slice> slices = whole_slices(units, ranks, first);
      ASSERT_EQ(slices.size(), static_cast<size_t>(ranks));
      expect_cover(slices, 0, ends.back());
      for (const Slice& slice : slices) {
        if (slice.elements() == 0) continue;
        EXPECT_EQ(std::count(ends.begin(), ends.end(), slice.end), 1);
      }
    }
  }
  // Two large units: two ranks get one each, in turn.
  EXPECT_EQ(whole_slices(units, 2, 0)[0].end, 5312);
  EXPECT_EQ(whole_slices(units, 2, 1)[1].end, 5312);
}

TEST(BucketExchangeTest, ReducesAndGathersEveryBucket) {
  constexpr int kRanks = 3;
  std::vector<Bucket> buckets;
  for (const Slice& part : {Slice{640, 1024}, Slice{64, 640}, Slice{0, 64}}) {
    buckets.push_back({.name = "part", .slices = even_slices(part.begin, part.end, kRanks)});
  }
  run_as_threads(kRanks, [&](Communicator& communicator) {
    const Tensor flat(DType::kInt64, {1024});
    for (int64_t i = 0; i < 1024; ++i) flat.data<int64_t>()[i] = i;
    BucketExchange reduction(BucketExchange::Kind::kReduce, communicator, buckets, flat.view());
    reduction.start(0);
    if (communicator.rank() != 1) reduction.start(1);  // finish() starts the rest
    reduction.finish();
    for (const Bucket& bucket : buckets) {
      const Slice& own = bucket.slices[static_cast<size_t>(communicator.rank())];
      for (int64_t i = own.begin; i < own.end; ++i) {
        EXPECT_EQ(flat.data<int64_t>()[i], kRanks * i);
      }
    }
    BucketExchange gathering(BucketExchange::Kind::kGather, communicator, buckets, flat.view());
    gathering.finish();
    for (int64_t i = 0; i < 1024; ++i) EXPECT_EQ(flat.data<int64_t>()[i], kRanks * i);
  });
}

}  // namespace
}  // namespace reformer
