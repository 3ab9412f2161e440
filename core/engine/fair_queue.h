// FairQueue: who of those that wait is next, fair between clients whatever each of them has queued.
#ifndef ATTND_CORE_ENGINE_FAIR_QUEUE_H_
#define ATTND_CORE_ENGINE_FAIR_QUEUE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>

#include "absl/container/flat_hash_map.h"

namespace attnd {

// Deficit round robin ("Efficient Fair Queuing Using Deficit Round Robin", Shreedhar and Varghese, 1995), counted in
// tokens: in each round a client may take its weight x quantum tokens, so that an item of t tokens, the first of its
// client, is at most ceil(t / quantum) rounds away. Items of one client come in the order they were added; with one
// client the queue is first come, first served. Pure: no clock, no locks. Items are not owned.
template <typename Item>
class FairQueue {
 public:
  // Tokens a client of weight 1 takes in its turn before the next one's turn. Smaller is fairer. At least 1.
  explicit FairQueue(int64_t quantum) : quantum_(std::max<int64_t>(1, quantum)) {}

  // `tokens`: what the item takes of its client's turns. The client's weight is the last one given.
  void Add(uint64_t client, Item* item, int64_t tokens, int weight = 1) {
    Client& to = Find(client);
    to.weight = weight;
    to.items.push_back({item, tokens});
    Count(tokens, 1);
  }
  // Before all others of its client: an item that had been taken and comes back.
  void AddFirst(uint64_t client, Item* item, int64_t tokens) {
    Find(client).items.push_front({item, tokens});
    Count(tokens, 1);
  }

  // The item whose turn it is, among those that are `ready` (const Item&) of the clients that `may` (uint64_t); null:
  // there is none. While that holds of it, and until it is taken or its client gets one back, the answer is the same. A
  // client that has to be passed over keeps its turn for later.
  template <typename May, typename Ready>
  Item* Next(May may, Ready ready) {
    for (size_t skipped = 0; skipped < ring_.size();) {
      Client& client = ring_.front();
      const auto end = client.items.end();
      const auto first = may(client.key)
                             ? std::find_if(client.items.begin(), end, [&](const Entry& e) { return ready(*e.item); })
                             : end;
      if (first != end) {
        if (!client.in_turn) client.deficit += quantum_ * client.weight;
        client.in_turn = first->tokens <= client.deficit;
        if (client.in_turn) return first->item;
        skipped = 0;
      } else {
        ++skipped;
      }
      ring_.splice(ring_.end(), ring_, ring_.begin());
    }
    return nullptr;
  }
  Item* Next() {
    return Next([](uint64_t) { return true; }, [](const Item&) { return true; });
  }
  // Takes out what Next has just given.
  void Take(const Item* item) {
    Client& client = ring_.front();
    const auto at =
        std::find_if(client.items.begin(), client.items.end(), [&](const Entry& e) { return e.item == item; });
    client.deficit -= at->tokens;
    Count(-at->tokens, -1);
    client.items.erase(at);
    EraseIfEmpty(ring_.begin());
  }

  // Takes out those of a client that are `chosen` (const Item&), in one pass, and calls `taken` (Item*) of each.
  template <typename Chosen, typename Taken>
  void TakeOut(uint64_t client, Chosen chosen, Taken taken) {
    const auto found = clients_.find(client);
    if (found == clients_.end()) return;
    std::deque<Entry>& items = found->second->items;
    const auto kept =
        std::stable_partition(items.begin(), items.end(), [&](const Entry& e) { return !chosen(*e.item); });
    for (auto entry = kept; entry != items.end(); ++entry) {
      Count(-entry->tokens, -1);
      taken(entry->item);
    }
    items.erase(kept, items.end());
    EraseIfEmpty(found->second);
  }
  // Takes out everything.
  template <typename Taken>
  void Clear(Taken taken) {
    while (!ring_.empty()) TakeOut(ring_.front().key, [](const Item&) { return true; }, taken);
  }

  // Calls `visit` (uint64_t client, const Item& first) for the first of each client that is `ready`.
  template <typename Ready, typename Visit>
  void ForEachClient(Ready ready, Visit visit) const {
    for (const Client& client : ring_) {
      const auto first =
          std::find_if(client.items.begin(), client.items.end(), [&](const Entry& e) { return ready(*e.item); });
      if (first != client.items.end()) visit(client.key, *first->item);
    }
  }

  bool empty() const { return ring_.empty(); }
  int64_t size() const { return size_; }      // items
  int64_t tokens() const { return tokens_; }  // of all of them

 private:
  struct Entry {
    Item* item;
    int64_t tokens;
  };
  struct Client {
    uint64_t key;
    int weight = 1;
    int64_t deficit = 0;   // tokens it may still take in this turn
    bool in_turn = false;  // whether the turn's quantum has been granted
    std::deque<Entry> items;
  };
  using Ring = std::list<Client>;

  Client& Find(uint64_t key) {
    const auto [entry, added] = clients_.try_emplace(key);
    // A client that comes waits for the turn of all that wait already.
    if (added) entry->second = ring_.insert(ring_.end(), Client{.key = key, .items = {}});
    return *entry->second;
  }
  void EraseIfEmpty(typename Ring::iterator client) {
    if (!client->items.empty()) return;
    clients_.erase(client->key);
    ring_.erase(client);
  }
  void Count(int64_t tokens, int64_t items) {
    tokens_ += tokens;
    size_ += items;
  }

  const int64_t quantum_;
  Ring ring_;  // clients with items; the front one has the turn
  absl::flat_hash_map<uint64_t, typename Ring::iterator> clients_;
  int64_t tokens_ = 0, size_ = 0;
};

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_FAIR_QUEUE_H_
