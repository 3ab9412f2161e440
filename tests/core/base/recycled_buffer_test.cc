#include "core/base/recycled_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace attnd {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

TEST(RecycledBuffer, IsEmptyOrHoldsWhatItWasAskedFor) {
  const RecycledBuffer empty;
  EXPECT_EQ(empty.size(), 0u);
  EXPECT_EQ(empty.data(), nullptr);
  for (const size_t size : {size_t{1}, size_t{100}, size_t{65535}, size_t{65536}, size_t{65537}, 5 * kMiB + 3}) {
    RecycledBuffer buffer(size);
    EXPECT_EQ(buffer.size(), size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u) << size;
    std::fill_n(buffer.data(), size, uint8_t{7});
    const uint8_t* const data = buffer.data();
    RecycledBuffer moved = std::move(buffer);
    EXPECT_EQ(moved.data(), data);
    EXPECT_EQ(moved.size(), size);
    EXPECT_EQ(std::count(moved.data(), moved.data() + size, uint8_t{7}), static_cast<ptrdiff_t>(size));
  }
}

TEST(RecycledBuffer, GivesTheLowestPlaceAgain) {
  RecycledBuffer first(kMiB), second(kMiB);
  const uint8_t* const place = first.data();
  first = {};
  const RecycledBuffer smaller(kMiB / 2);
  EXPECT_EQ(smaller.data(), place);
  const RecycledBuffer larger(2 * kMiB);
  EXPECT_NE(larger.data(), place + kMiB / 2);  // the second's
  EXPECT_GT(larger.data(), second.data());
}

TEST(RecycledBuffer, KeepsNoMoreThanItSays) {
  const size_t before = RecycledBuffer::kept_bytes();
  std::vector<RecycledBuffer> buffers;
  for (size_t i = 0; i < RecycledBuffer::kKeptBytes / kMiB + 50; ++i) buffers.emplace_back(kMiB);
  // Every second one, so that holes do not touch; then all.
  for (size_t i = 0; i < buffers.size(); i += 2) buffers[i] = {};
  EXPECT_GT(RecycledBuffer::kept_bytes(), before);
  EXPECT_LE(RecycledBuffer::kept_bytes(), RecycledBuffer::kKeptBytes);
  buffers.clear();
  EXPECT_LE(RecycledBuffer::kept_bytes(), RecycledBuffer::kKeptBytes);
  EXPECT_GT(RecycledBuffer::kept_bytes(), RecycledBuffer::kKeptBytes / 2);
  // What went back to the system can be had again.
  RecycledBuffer whole(RecycledBuffer::kKeptBytes + 50 * kMiB);
  for (size_t at = 0; at < whole.size(); at += kMiB) whole.data()[at] = 1;
  EXPECT_EQ(RecycledBuffer::kept_bytes(), 0u);
}

// Buffers of random sizes that come and go, also over the bound: none lies in another.
void ComeAndGo(uint32_t seed) {
  std::mt19937 random(seed);
  struct Filled {
    RecycledBuffer buffer;
    uint8_t mark;
  };
  std::vector<Filled> live;
  const auto check = [](const Filled& filled) {
    const RecycledBuffer& buffer = filled.buffer;
    for (size_t at = 0; at < buffer.size(); at += 512) ASSERT_EQ(buffer.data()[at], filled.mark);
    if (buffer.size() > 0) {
      ASSERT_EQ(buffer.data()[buffer.size() - 1], filled.mark);
    }
  };
  for (int step = 0; step < 600; ++step) {
    if (live.empty() || (random() % 3 != 0 && live.size() < 40)) {
      const size_t size = random() % 8 == 0 ? random() % (24 * kMiB) : random() % kMiB;
      live.push_back({RecycledBuffer(size), static_cast<uint8_t>(random())});
      RecycledBuffer& buffer = live.back().buffer;
      for (size_t at = 0; at < size; at += 512) buffer.data()[at] = live.back().mark;
      if (size > 0) buffer.data()[size - 1] = live.back().mark;
    } else {
      std::swap(live[random() % live.size()], live.back());
      check(live.back());
      live.pop_back();
    }
  }
  for (const Filled& filled : live) check(filled);
}

TEST(RecycledBuffer, NoneLiesInAnother) {
  for (uint32_t seed = 0; seed < 5; ++seed) ComeAndGo(seed);
}

TEST(RecycledBuffer, ThreadsMayMakeAndFree) {
  std::vector<std::thread> threads;
  for (uint32_t seed = 10; seed < 14; ++seed) threads.emplace_back(ComeAndGo, seed);
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(RecycledBuffer::kept_bytes(), RecycledBuffer::kKeptBytes);
}

}  // namespace
}  // namespace attnd
