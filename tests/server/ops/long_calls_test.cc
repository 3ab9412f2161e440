#include "server/ops/long_calls.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>
#include <vector>

namespace attnd {
namespace {

TEST(LongCallsTest, RunsElsewhereAndAtOnce) {
  LongCalls calls(2);
  std::latch both(2), done(2);
  std::atomic<int> here = 0;
  for (int i = 0; i < 2; ++i) {
    calls.Add([&, caller = std::this_thread::get_id()] {
      here += caller == std::this_thread::get_id() ? 1 : 0;
      both.arrive_and_wait();  // neither goes on before the other has begun
      done.count_down();
    });
  }
  done.wait();
  EXPECT_EQ(here, 0);
}

TEST(LongCallsTest, OneThreadRunsThemInTurn) {
  std::vector<int> order;
  {
    LongCalls calls(1);
    for (int i = 0; i < 100; ++i) calls.Add([&order, i] { order.push_back(i); });
    calls.Stop();  // all of them run before it returns
    EXPECT_EQ(order.size(), 100u);
  }
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[i], i);
}

}  // namespace
}  // namespace attnd
