#include "core/base/weight_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace attnd {
namespace {

TEST(WeightMemoryTest, BuffersOfEverySizeAreAlignedAndTheirOwn) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      struct Buffer {
        std::shared_ptr<std::byte> data;
        size_t size;
        int value;
      };
      std::mt19937 random(t);
      std::vector<Buffer> buffers;
      for (int i = 0; i < 200; ++i) {
        const size_t size = 1 + random() % (i % 50 == 0 ? 40 << 20 : 300'000);
        Buffer buffer = {AllocateWeights(size), size, static_cast<int>(random() % 256)};
        ASSERT_EQ(reinterpret_cast<uintptr_t>(buffer.data.get()) % 64, 0u);
        std::memset(buffer.data.get(), buffer.value, size);
        buffers.push_back(std::move(buffer));
        if (random() % 3 == 0) buffers.erase(buffers.begin() + random() % buffers.size());
        for (const Buffer& kept : buffers) {
          ASSERT_EQ(std::to_integer<int>(kept.data.get()[0]), kept.value);
          ASSERT_EQ(std::to_integer<int>(kept.data.get()[kept.size - 1]), kept.value);
        }
      }
      for (const Buffer& kept : buffers) {
        for (size_t i = 0; i < kept.size; ++i) ASSERT_EQ(std::to_integer<int>(kept.data.get()[i]), kept.value);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(WeightMemoryTest, NothingAtAll) { AllocateWeights(0); }

}  // namespace
}  // namespace attnd
