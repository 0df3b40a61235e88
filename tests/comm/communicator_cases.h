// What every communicator of several ranks must do. Each case runs on all ranks at once and
// compares with what arithmetic says. Most work on memory of any place.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "comm/communicator.h"

namespace reformer::testing {

/// Where the memory of a case is.
class Place {
 public:
  virtual ~Place() = default;
  /// Memory of this size, until the last copy of the pointer is gone.
  virtual std::shared_ptr<void> allocate(size_t bytes) = 0;
  virtual void write(void* memory, const void* from, size_t bytes) = 0;
  virtual void read(const void* memory, void* to, size_t bytes) = 0;
};

class HostPlace final : public Place {
 public:
  std::shared_ptr<void> allocate(size_t bytes) override {
    return std::shared_ptr<std::byte[]>(new std::byte[bytes]);
  }
  void write(void* memory, const void* from, size_t bytes) override {
    std::memcpy(memory, from, bytes);
  }
  void read(const void* memory, void* to, size_t bytes) override { std::memcpy(to, memory, bytes); }
};

/// Elements that lie in a place.
template <typename T>
class Placed {
 public:
  Placed(Place& place, const std::vector<T>& values)
      : place_(place),
        count_(values.size()),
        memory_(place.allocate(std::max<size_t>(1, values.size()) * sizeof(T))) {
    if (count_ > 0) place.write(memory_.get(), values.data(), count_ * sizeof(T));
  }

  View view() const {
    return View(memory_.get(), DTypeOf<T>::value, {static_cast<int64_t>(count_)});
  }
  std::vector<T> values() const {
    std::vector<T> values(count_);
    if (count_ > 0) place_.read(memory_.get(), values.data(), count_ * sizeof(T));
    return values;
  }

 private:
  Place& place_;
  size_t count_;
  std::shared_ptr<void> memory_;
};

/// A value that differs for every rank and index.
template <typename T>
T value_of(int rank, int64_t index) {
  return static_cast<T>(rank * 1000 + index % 997);
}

template <typename T>
Tensor values_of(int rank, int64_t count) {
  Tensor values(DTypeOf<T>::value, {count});
  for (int64_t i = 0; i < count; ++i) values.data<T>()[i] = value_of<T>(rank, i);
  return values;
}

template <typename T>
Placed<T> placed_values_of(Place& place, int rank, int64_t count) {
  std::vector<T> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) values[i] = value_of<T>(rank, static_cast<int64_t>(i));
  return Placed<T>(place, values);
}

/// Uneven slices with a gap before each: rank r has (r mod 3) · unit elements, so some have none.
inline std::vector<Slice> uneven_slices(int ranks, int64_t unit) {
  std::vector<Slice> slices;
  int64_t end = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    const int64_t begin = end + 3;
    end = begin + (rank % 3) * unit;
    slices.push_back({begin, end});
  }
  return slices;
}

template <typename T>
void all_reduce_case(Communicator& communicator, Place& place, int64_t count) {
  const Placed<T> data = placed_values_of<T>(place, communicator.rank(), count);
  communicator.all_reduce_sum(data.view(), "case");
  const std::vector<T> values = data.values();
  for (int64_t i = 0; i < count; ++i) {
    T sum = 0;
    for (int rank = 0; rank < communicator.size(); ++rank) sum += value_of<T>(rank, i);
    ASSERT_EQ(values[static_cast<size_t>(i)], sum) << i;
  }
}

template <typename T>
void reduce_scatter_case(Communicator& communicator, Place& place,
                         const std::vector<Slice>& slices) {
  const int64_t count = slices.back().end + 2;
  const Placed<T> data = placed_values_of<T>(place, communicator.rank(), count);
  communicator.reduce_scatter_sum(data.view(), slices, "case");
  const std::vector<T> values = data.values();
  const Slice& own = slices[static_cast<size_t>(communicator.rank())];
  for (int64_t i = 0; i < count; ++i) {
    T expected = value_of<T>(communicator.rank(), i);
    if (own.begin <= i && i < own.end) {
      expected = 0;
      for (int rank = 0; rank < communicator.size(); ++rank) expected += value_of<T>(rank, i);
    }
    ASSERT_EQ(values[static_cast<size_t>(i)], expected) << i;
  }
}

template <typename T>
void all_gather_case(Communicator& communicator, Place& place, const std::vector<Slice>& slices) {
  const int64_t count = slices.back().end + 2;
  const Placed<T> data = placed_values_of<T>(place, communicator.rank(), count);
  communicator.all_gather(data.view(), slices, "case");
  const std::vector<T> values = data.values();
  for (int64_t i = 0; i < count; ++i) {
    int owner = communicator.rank();  // outside of all slices nothing changes
    for (int rank = 0; rank < communicator.size(); ++rank) {
      const Slice& slice = slices[static_cast<size_t>(rank)];
      if (slice.begin <= i && i < slice.end) owner = rank;
    }
    ASSERT_EQ(values[static_cast<size_t>(i)], value_of<T>(owner, i)) << i;
  }
}

template <typename T>
void broadcast_case(Communicator& communicator, Place& place, int64_t count) {
  for (int root = 0; root < communicator.size(); ++root) {
    const Placed<T> data = placed_values_of<T>(place, communicator.rank(), count);
    communicator.broadcast(data.view(), root, "case");
    const std::vector<T> values = data.values();
    for (int64_t i = 0; i < count; ++i) {
      ASSERT_EQ(values[static_cast<size_t>(i)], value_of<T>(root, i)) << i;
    }
  }
}

/// Rank a sends (a + 2·b) mod 4 · unit elements to rank b.
template <typename T>
void all_to_all_case(Communicator& communicator, Place& place, int64_t unit) {
  const int me = communicator.rank();
  const auto count_of = [&](int from, int to) { return (from + 2 * to) % 4 * unit; };
  std::vector<Slice> sent;
  std::vector<Slice> received;
  for (int other = 0; other < communicator.size(); ++other) {
    const int64_t sent_begin = sent.empty() ? 0 : sent.back().end;
    const int64_t received_begin = received.empty() ? 0 : received.back().end;
    sent.push_back({sent_begin, sent_begin + count_of(me, other)});
    received.push_back({received_begin, received_begin + count_of(other, me)});
  }
  const Placed<T> from = placed_values_of<T>(place, me, sent.back().end);
  const Placed<T> to(place, std::vector<T>(static_cast<size_t>(received.back().end)));
  communicator.all_to_all(from.view(), sent, to.view(), received, "case");
  const std::vector<T> values = to.values();
  for (int other = 0; other < communicator.size(); ++other) {
    int64_t first_there = 0;  // where my slice begins in what `other` sent
    for (int rank = 0; rank < me; ++rank) first_there += count_of(other, rank);
    const Slice& slice = received[static_cast<size_t>(other)];
    for (int64_t i = slice.begin; i < slice.end; ++i) {
      ASSERT_EQ(values[static_cast<size_t>(i)], value_of<T>(other, first_there + i - slice.begin))
          << i;
    }
  }
}

/// Everybody sends two messages to the next rank, started before anybody receives.
inline void ring_case(Communicator& communicator, Place& place, int64_t count) {
  if (communicator.size() == 1) return;
  const int next = (communicator.rank() + 1) % communicator.size();
  const int before = (communicator.rank() + communicator.size() - 1) % communicator.size();
  const auto size = static_cast<size_t>(count);
  const Placed<float> first = placed_values_of<float>(place, communicator.rank(), count);
  const Placed<float> second = placed_values_of<float>(place, communicator.rank() + 100, count + 1);
  const Placed<float> got_first(place, std::vector<float>(size));
  const Placed<float> got_second(place, std::vector<float>(size + 1));
  Pending pending[] = {communicator.start_send(first.view(), next, "first"),
                       communicator.start_send(second.view(), next, "second"),
                       communicator.start_receive(got_first.view(), before, "first"),
                       communicator.start_receive(got_second.view(), before, "second")};
  for (Pending& operation : pending) operation.wait();
  const std::vector<float> firsts = got_first.values();
  const std::vector<float> seconds = got_second.values();
  for (size_t i = 0; i < size; ++i) {
    ASSERT_EQ(firsts[i], value_of<float>(before, static_cast<int64_t>(i)));
    ASSERT_EQ(seconds[i], value_of<float>(before + 100, static_cast<int64_t>(i)));
  }
}

inline void scan_case(Communicator& communicator, int64_t count) {
  const Tensor data = values_of<int64_t>(communicator.rank(), count);
  communicator.exclusive_scan_sum(data.view(), "case");
  for (int64_t i = 0; i < count; ++i) {
    int64_t sum = 0;
    for (int rank = 0; rank < communicator.rank(); ++rank) sum += value_of<int64_t>(rank, i);
    ASSERT_EQ(data.data<int64_t>()[i], sum) << i;
  }
}

/// Operations of every kind under way at once, waited for in the opposite order.
inline void side_by_side_case(Communicator& communicator, Place& place) {
  const int64_t size = communicator.size();
  const Placed<int64_t> sum = placed_values_of<int64_t>(place, communicator.rank(), 5000);
  const Placed<float> gathered = placed_values_of<float>(place, communicator.rank(), 100 * size);
  const Placed<float> nothing = placed_values_of<float>(place, communicator.rank(), 0);
  const Placed<uint8_t> told = placed_values_of<uint8_t>(place, communicator.rank(), 77);
  std::vector<Pending> pending;
  pending.push_back(communicator.start_all_reduce_sum(sum.view(), "one"));
  pending.push_back(communicator.start_all_gather(gathered.view(),
                                                  equal_slices(100, communicator.size()), "two"));
  pending.push_back(communicator.start_broadcast(told.view(), communicator.size() - 1, "three"));
  pending.push_back(communicator.start_reduce_scatter_sum(
      nothing.view(), equal_slices(0, communicator.size()), "four"));
  while (!pending.empty()) {
    pending.back().wait();
    pending.pop_back();
  }
  EXPECT_EQ(sum.values()[4], size * (size - 1) / 2 * 1000 + 4 * size);
  EXPECT_EQ(gathered.values().back(), value_of<float>(communicator.size() - 1, 100 * size - 1));
  EXPECT_EQ(told.values()[3], value_of<uint8_t>(communicator.size() - 1, 3));
}

/// Terms of which no other order gives the same sum.
inline void rank_order_case(Communicator& communicator) {
  const auto term = [](int rank) {
    constexpr float kTerms[] = {1e8f, 3.0f, -1e8f, 0.25f};
    return kTerms[rank % 4] * static_cast<float>(1 + rank / 4);
  };
  float expected = term(0);
  for (int rank = 1; rank < communicator.size(); ++rank) expected += term(rank);

  Tensor data(DType::kFloat32, {communicator.size()});
  std::fill_n(data.data<float>(), communicator.size(), term(communicator.rank()));
  communicator.reduce_scatter_sum(data.view(), equal_slices(1, communicator.size()), "case");
  EXPECT_EQ(data.data<float>()[communicator.rank()], expected);

  float one = term(communicator.rank());
  communicator.all_reduce_sum(View(&one, DType::kFloat32, {1}), "case");
  EXPECT_EQ(one, expected);
}

/// Groups of even and odd ranks work at the same time, and the whole after them.
inline void split_case(Communicator& communicator) {
  const std::unique_ptr<Communicator> group = communicator.split(communicator.rank() % 2, "parity");
  EXPECT_NE(communicator.recorder().records().back().finished_us, 0);
  const int members = (communicator.size() + 1 - communicator.rank() % 2) / 2;
  EXPECT_EQ(group->size(), members);
  EXPECT_EQ(group->rank(), communicator.rank() / 2);
  const std::vector<int64_t> ranks = group->gather(communicator.rank(), "who");
  for (size_t i = 0; i < ranks.size(); ++i) {
    EXPECT_EQ(ranks[i], static_cast<int64_t>(i) * 2 + communicator.rank() % 2);
  }
  EXPECT_EQ(communicator.sum(1, "all"), communicator.size());
}

inline void text_case(Communicator& communicator) {
  const std::string own(static_cast<size_t>(communicator.rank()), 'x');
  const std::vector<std::string> texts = communicator.gather_text(own, "case");
  ASSERT_EQ(texts.size(), static_cast<size_t>(communicator.size()));
  for (size_t rank = 0; rank < texts.size(); ++rank) EXPECT_EQ(texts[rank], std::string(rank, 'x'));
  EXPECT_EQ(communicator.broadcast_text(own, communicator.size() - 1, "case").size(),
            static_cast<size_t>(communicator.size() - 1));
}

/// What works in any place. Counts of zero, of one, and of many pieces.
inline void placed_cases(Communicator& communicator, Place& place) {
  for (const int64_t count : {0, 1, 7, 3000}) {
    SCOPED_TRACE(count);
    const std::vector<Slice> uneven = uneven_slices(communicator.size(), count);
    const std::vector<Slice> equal = equal_slices(count, communicator.size());
    all_reduce_case<int64_t>(communicator, place, count);
    all_reduce_case<float>(communicator, place, count);
    all_reduce_case<double>(communicator, place, count);
    for (const std::vector<Slice>& slices : {uneven, equal}) {
      reduce_scatter_case<int64_t>(communicator, place, slices);
      reduce_scatter_case<float>(communicator, place, slices);
      all_gather_case<int64_t>(communicator, place, slices);
      all_gather_case<uint8_t>(communicator, place, slices);
    }
    broadcast_case<int32_t>(communicator, place, count);
    broadcast_case<uint8_t>(communicator, place, count);
    all_to_all_case<float>(communicator, place, count);
    all_to_all_case<uint8_t>(communicator, place, count);
    ring_case(communicator, place, count);
  }
  side_by_side_case(communicator, place);
}

inline void all_cases(Communicator& communicator) {
  HostPlace host;
  placed_cases(communicator, host);
  for (const int64_t count : {0, 1, 7, 3000}) scan_case(communicator, count);
  rank_order_case(communicator);
  split_case(communicator);
  text_case(communicator);
  communicator.barrier("end");
}

}  // namespace reformer::testing
