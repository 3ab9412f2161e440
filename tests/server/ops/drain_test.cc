#include "server/ops/drain.h"

#include <gtest/gtest.h>

#include <thread>

#include "absl/time/clock.h"

namespace attnd {
namespace {

TEST(DrainTest, WakesStreamsOnceAndLateOnesAtOnce) {
  Drain drain;
  int early = 0, forgotten = 0, late = 0;
  drain.OnStart([&] { ++early; });
  drain.Forget(drain.OnStart([&] { ++forgotten; }));
  EXPECT_FALSE(drain.started());
  drain.Start();
  drain.Start();
  EXPECT_TRUE(drain.started());
  drain.OnStart([&] { ++late; });
  EXPECT_EQ(early, 1);
  EXPECT_EQ(forgotten, 0);
  EXPECT_EQ(late, 1);
}

TEST(DrainTest, IsAnnouncedAtItsStartAtTheLatest) {
  Drain early, at_once;
  EXPECT_FALSE(early.announced());
  early.Announce();
  EXPECT_TRUE(early.announced());
  EXPECT_FALSE(early.started());
  at_once.Start();
  EXPECT_TRUE(at_once.announced());
}

TEST(DrainTest, WaitEndsWithTheLastCall) {
  Drain drain;
  drain.CallBegins();
  drain.CallBegins();
  drain.Start();
  EXPECT_FALSE(drain.Wait(absl::Now()));
  std::thread calls([&] {
    drain.CallEnds();
    drain.CallEnds();
  });
  EXPECT_TRUE(drain.Wait(absl::Now() + absl::Seconds(60)));
  calls.join();
  EXPECT_EQ(drain.in_flight(), 0);
}

}  // namespace
}  // namespace attnd
