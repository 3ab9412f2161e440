#include "core/base/work_team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "core/base/cpu.h"

namespace attnd {
namespace {

TEST(WorkTeamTest, EveryTileRunsOnceOnALaneOfItsOwn) {
  for (const int capacity : {1, 2, 5}) {
    WorkTeam team(capacity);
    WorkTeam::Session session(team);
    for (int loop = 0; loop < 300; ++loop) {
      const int tiles = loop % 37;
      std::vector<std::atomic<int>> runs(tiles);
      std::vector<std::atomic<int>> lanes(capacity);
      session.ParallelFor(tiles, [&](int64_t tile, int lane) {
        EXPECT_EQ(lanes[lane].fetch_add(1), 0);  // nobody else is on this lane
        ++runs[tile];
        --lanes[lane];
      });
      for (const auto& count : runs) ASSERT_EQ(count, 1);
    }
  }
}

TEST(WorkTeamTest, WhatTilesWroteIsVisibleToTheCaller) {
  WorkTeam team(3);
  WorkTeam::Session session(team);
  std::vector<int> written(1000);
  for (int loop = 1; loop <= 200; ++loop) {
    session.ParallelFor(1000, [&](int64_t tile, int) { written[tile] = loop; });
    for (const int value : written) ASSERT_EQ(value, loop);
  }
}

TEST(WorkTeamTest, SessionsComeWhileAHelperLingersAndAfterIt) {
  using std::chrono::microseconds;
  // Asleep at once, asleep now and then, awake until the team ends.
  for (const microseconds linger : {microseconds(0), microseconds(5), microseconds(std::chrono::hours(1))}) {
    for (const int capacity : {1, 2, 4}) {
      WorkTeam team(capacity, linger);
      for (int i = 0; i < 60; ++i) {
        WorkTeam::Session session(team);
        std::atomic<int> ran = 0;
        session.ParallelFor(100, [&](int64_t, int) { ++ran; });
        ASSERT_EQ(ran, 100);
      }
    }
  }
}

TEST(WorkTeamTest, EndsWhileHelpersBegin) {
  for (int i = 0; i < 2000; ++i) WorkTeam team(4, std::chrono::hours(1));
}

TEST(WorkTeamTest, LanesBeginWithSharesOfTheirOwn) {
  constexpr int kLanes = 3;
  WorkTeam team(kLanes);
  WorkTeam::Session session(team);
  for (int loop = 0; loop < 100; ++loop) {
    // Each first tile of a share waits for the others: three lanes must be at them at once.
    constexpr int kTiles = 12, kShare = kTiles / kLanes;
    std::atomic<int> begun = 0;
    std::vector<int> lanes(kTiles);
    session.ParallelFor(kTiles, [&](int64_t tile, int lane) {
      lanes[tile] = lane;
      if (tile % kShare != 0) return;
      ++begun;
      while (begun < kLanes) std::this_thread::yield();
    });
    for (int lane = 0; lane < kLanes; ++lane) ASSERT_EQ(lanes[lane * kShare], lane);
  }
}

TEST(WorkTeamTest, MoreSessionsThanCapacityFinish) {
  WorkTeam team(2);
  std::atomic<int64_t> sum = 0;
  std::vector<std::thread> threads;
  threads.reserve(5);
  for (int t = 0; t < 5; ++t) {
    threads.emplace_back([&] {
      for (int step = 0; step < 50; ++step) {
        WorkTeam::Session session(team);
        for (int loop = 0; loop < 5; ++loop) session.ParallelFor(20, [&](int64_t tile, int) { sum += tile; });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, 5 * 50 * 5 * 190);
}

TEST(CpuTest, CountsAndNamesAreSane) {
  EXPECT_GE(AvailableCpus(), 1);
  EXPECT_LE(AvailableCpus(), static_cast<int>(std::thread::hardware_concurrency()));
  EXPECT_TRUE(CpuPathName() == "avx2" || CpuPathName() == "avx512" || CpuPathName() == "baseline");
}

}  // namespace
}  // namespace attnd
