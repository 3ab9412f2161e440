#include "core/engine/fair_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <vector>

namespace attnd {
namespace {

struct Item {
  uint64_t client;
  int tokens;
  bool ready = true;
};

constexpr uint64_t kHeld = 99;  // a client that may not take its turn

Item* TakeNext(FairQueue<Item>& queue) {
  Item* item = queue.Next([](uint64_t client) { return client != kHeld; }, [](const Item& i) { return i.ready; });
  if (item != nullptr) queue.Take(item);
  return item;
}

TEST(FairQueueTest, OneClientIsFirstComeFirstServed) {
  FairQueue<Item> queue(10);
  std::vector<Item> items = {{7, 100}, {7, 1}, {7, 30}};
  for (Item& item : items) queue.Add(7, &item, item.tokens);
  EXPECT_EQ(queue.size(), 3);
  EXPECT_EQ(queue.tokens(), 131);
  for (Item& item : items) EXPECT_EQ(TakeNext(queue), &item);
  EXPECT_EQ(TakeNext(queue), nullptr);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.tokens(), 0);
}

TEST(FairQueueTest, NextStaysTheSameUntilItIsTaken) {
  FairQueue<Item> queue(10);
  Item a{1, 25}, b{2, 10}, late{3, 1};
  queue.Add(1, &a, a.tokens);
  queue.Add(2, &b, b.tokens);
  EXPECT_EQ(queue.Next(), &b);  // affordable first
  queue.Add(3, &late, late.tokens);
  EXPECT_EQ(queue.Next(), &b);
  queue.Take(&b);
  EXPECT_EQ(TakeNext(queue), &late);
  EXPECT_EQ(TakeNext(queue), &a);
}

TEST(FairQueueTest, WhatComesBackIsTheNextOfItsClient) {
  FairQueue<Item> queue(10);
  std::vector<Item> items = {{1, 5}, {1, 5}, {1, 5}};
  for (Item& item : items) queue.Add(1, &item, item.tokens);
  EXPECT_EQ(TakeNext(queue), &items[0]);
  EXPECT_EQ(TakeNext(queue), &items[1]);
  queue.AddFirst(1, &items[1], 9);
  queue.AddFirst(1, &items[0], 9);
  EXPECT_EQ(queue.tokens(), 23);
  for (Item& item : items) EXPECT_EQ(TakeNext(queue), &item);
}

TEST(FairQueueTest, WhatIsNotReadyIsPassedAndKeepsItsTurn) {
  FairQueue<Item> queue(10);
  Item a{1, 6, false}, more{1, 4, false}, b{2, 10};
  queue.Add(1, &a, a.tokens);
  queue.Add(1, &more, more.tokens);
  EXPECT_EQ(TakeNext(queue), nullptr);
  queue.Add(2, &b, b.tokens);
  more.ready = true;
  EXPECT_EQ(TakeNext(queue), &more);  // before the first of its client, which waits
  EXPECT_EQ(TakeNext(queue), &b);
  EXPECT_EQ(TakeNext(queue), nullptr);
  a.ready = true;
  EXPECT_EQ(TakeNext(queue), &a);
  Item held{kHeld, 1};
  queue.Add(kHeld, &held, held.tokens);
  EXPECT_EQ(TakeNext(queue), nullptr);
  EXPECT_EQ(queue.Next(), &held);
}

// Random arrivals and withdrawals: nothing is lost or comes twice, order within a client is kept, and while two clients
// both have something waiting neither gets more than a quantum and its longest item ahead of the other.
TEST(FairQueueTest, NothingLostOrderKeptAndClientsEven) {
  constexpr int kClients = 4, kLongest = 300;
  for (int seed = 0; seed < 100; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](int below) { return std::uniform_int_distribution<int>(0, below - 1)(random); };
    const int64_t quantum = 1 + pick(200);
    FairQueue<Item> queue(quantum);
    std::deque<Item> items;  // stable addresses
    std::map<uint64_t, std::deque<Item*>> waiting;
    // Of each pair, what the first got more than the second since both wait.
    std::map<std::pair<int, int>, int64_t> ahead;
    int taken = 0, withdrawn = 0;
    const auto emptied = [&](int client) {
      for (int other = 0; other < kClients; ++other) ahead[{client, other}] = ahead[{other, client}] = 0;
    };
    for (int step = 0; step < 3000 || !queue.empty(); ++step) {
      if (step < 3000 && pick(2) == 0) {
        // The first client floods.
        const auto client = static_cast<uint64_t>(pick(3) == 0 ? pick(kClients) : 0);
        items.push_back({client, 1 + pick(kLongest)});
        queue.Add(client, &items.back(), items.back().tokens);
        waiting[client].push_back(&items.back());
      }
      if (pick(20) == 0) {
        const auto client = static_cast<uint64_t>(pick(kClients));
        const Item* chosen = waiting[client].empty() ? nullptr : waiting[client][pick(waiting[client].size())];
        queue.TakeOut(
            client, [&](const Item& item) { return &item == chosen; },
            [&](Item* item) {
              std::erase(waiting[client], item);
              ++withdrawn;
              if (waiting[client].empty()) emptied(static_cast<int>(client));
            });
      }
      if (pick(2) != 0) continue;
      Item* item = TakeNext(queue);
      if (item == nullptr) continue;
      ++taken;
      const int client = static_cast<int>(item->client);
      ASSERT_EQ(waiting[client].front(), item) << "seed " << seed;
      waiting[client].pop_front();
      for (int other = 0; other < kClients; ++other) {
        if (other == client || waiting[other].empty()) continue;
        ahead[{client, other}] += item->tokens;
        ahead[{other, client}] -= item->tokens;
        ASSERT_LE((ahead[{client, other}]), 2 * (quantum + kLongest)) << "seed " << seed;
      }
      if (waiting[client].empty()) emptied(client);
    }
    EXPECT_EQ(taken + withdrawn, static_cast<int>(items.size()));
    EXPECT_EQ(queue.size(), 0);
    EXPECT_EQ(queue.tokens(), 0);
  }
}

}  // namespace
}  // namespace attnd
