#include "core/base/work_team.h"

#include <algorithm>

#include "core/base/linger.h"

namespace attnd {
namespace {

// Spins of about 20-40 ns: a waiter yields the core after roughly 50 us, so that a preempted peer can run.
constexpr int kSpinsBeforeYield = 2000;

}  // namespace

// The tiles of one lane, in a cache line of their own.
struct alignas(64) WorkTeam::Share {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};

// One open session's current loop. The owner writes the plain fields only while `open` is false and `inside` is 0.
struct alignas(64) WorkTeam::Slot {
  std::atomic<bool> taken{false};  // some session owns the slot
  std::atomic<bool> open{false};   // the loop takes helpers
  std::atomic<int> inside{0};      // helpers that may touch the loop
  const TileFn* fn = nullptr;
  int shares = 0;
  std::unique_ptr<Share[]> share;  // [capacity], the first `shares` of which hold the loop's tiles

  // Runs tiles until none is left or `may_go_on` says no: those of the lane's own share first, then of the others'.
  // Returns whether any ran.
  template <typename MayGoOn>
  bool Work(int lane, const MayGoOn& may_go_on) {
    bool worked = false;
    for (int i = 0; i < shares; ++i) {
      Share& from = share[(lane + i) % shares];
      while (from.next.load(std::memory_order_relaxed) < from.end) {
        if (!may_go_on()) return worked;
        const int64_t tile = from.next.fetch_add(1, std::memory_order_relaxed);
        if (tile >= from.end) break;
        (*fn)(tile, lane);
        worked = true;
      }
    }
    return worked;
  }
};

WorkTeam::WorkTeam(int capacity, std::chrono::microseconds linger)
    : capacity_(std::max(1, capacity)), linger_(linger), slots_(new Slot[std::max(1, capacity)]) {
  for (int i = 0; i < capacity_; ++i) slots_[i].share.reset(new Share[capacity_]);
  for (int i = 1; i < capacity_; ++i) helpers_.emplace_back([this, i] { HelperLoop(i); });
}

WorkTeam::~WorkTeam() {
  stop_ = true;
  ++wake_;
  wake_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

WorkTeam::Session::Session(WorkTeam& team) : team_(team), slot_(-1) {
  // More sessions than slots run without help.
  for (int i = 0; i < team_.capacity_ && slot_ < 0; ++i) {
    bool expected = false;
    if (team_.slots_[i].taken.compare_exchange_strong(expected, true)) slot_ = i;
  }
  if (++team_.sessions_ < team_.capacity_) {
    ++team_.wake_;
    team_.wake_.notify_all();
  }
}

WorkTeam::Session::~Session() {
  if (slot_ >= 0) team_.slots_[slot_].taken = false;
  if (--team_.sessions_ > 0 && team_.sessions_ < team_.capacity_) {
    // A core came free for the sessions that go on.
    ++team_.wake_;
    team_.wake_.notify_all();
  }
}

void WorkTeam::Session::ParallelFor(int64_t tiles, TileFn fn) {
  if (tiles <= 1 || slot_ < 0 || team_.sessions_.load(std::memory_order_relaxed) >= team_.capacity_) {
    for (int64_t i = 0; i < tiles; ++i) fn(i, 0);
    return;
  }
  Slot& slot = team_.slots_[slot_];
  slot.fn = &fn;
  slot.shares = static_cast<int>(std::min<int64_t>(team_.capacity_, tiles));
  for (int i = 0; i < slot.shares; ++i) {
    slot.share[i].next.store(tiles * i / slot.shares, std::memory_order_relaxed);
    slot.share[i].end = tiles * (i + 1) / slot.shares;
  }
  slot.open.store(true);
  slot.Work(0, [] { return true; });
  slot.open.store(false);
  // A helper that saw `open` counts itself in `inside` first: both orders are sequentially consistent.
  for (int spins = 0; slot.inside.load() != 0; ++spins) {
    if (spins < kSpinsBeforeYield) {
      Pause();
    } else {
      std::this_thread::yield();
    }
  }
}

bool WorkTeam::HelperMayRun() const {
  const int sessions = sessions_.load(std::memory_order_relaxed);
  return sessions > 0 && sessions + helping_.load(std::memory_order_relaxed) <= capacity_;
}

void WorkTeam::HelperLoop(int helper) {
  while (true) {
    const uint32_t seen = wake_.load();
    if (stop_) return;  // asked after `seen`: who stops changes wake_ last, and nobody would wake us again
    ++helping_;
    int spins = 0;
    while (!stop_ && HelperMayRun()) {
      bool worked = false;
      for (int i = 0; i < capacity_; ++i) {
        // Helpers start at different sessions, so that several sessions share them.
        Slot& slot = slots_[(i + helper) % capacity_];
        if (!slot.open.load(std::memory_order_relaxed)) continue;
        slot.inside.fetch_add(1);
        if (slot.open.load()) {
          // A session that begins elsewhere takes this core back at the next tile.
          worked = slot.Work(helper, [this] { return HelperMayRun(); }) || worked;
        }
        slot.inside.fetch_sub(1);
      }
      if (worked) {
        spins = 0;
      } else if (++spins < kSpinsBeforeYield) {
        Pause();
      } else {
        std::this_thread::yield();
      }
    }
    --helping_;
    if (helper == 1) Linger(linger_, [&] { return sessions_.load() != 0 || wake_.load() != seen; });
    wake_.wait(seen);
  }
}

}  // namespace attnd
