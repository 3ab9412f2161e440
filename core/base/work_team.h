// WorkTeam: spreads the tiles of one step over whoever is idle.
#ifndef ATTND_CORE_BASE_WORK_TEAM_H_
#define ATTND_CORE_BASE_WORK_TEAM_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace attnd {

// `capacity` threads may compute at once. A worker opens a Session around one step; inside it, ParallelFor hands tiles
// to the caller and to helper threads, as many as there is capacity that no other session uses. With every worker busy
// a session runs alone (throughput); with one busy it gets all cores (latency). Helpers spin between the loops of an
// open session, which keeps a loop's overhead near a microsecond, and sleep when no session can use them. One of them
// may linger after the last session: a core that sleeps takes 50 to 100 us to wake, several times in a short request.
class WorkTeam {
 public:
  // `tile` runs 0..tiles-1, each exactly once; `lane` in [0, capacity) is unique among the threads running at a time
  // inside one loop: use it to index scratch.
  using TileFn = absl::FunctionRef<void(int64_t tile, int lane)>;

  class Session {
   public:
    explicit Session(WorkTeam& team);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // Returns when every tile has run; what the tiles wrote is visible. Not reentrant: one loop at a time in a session.
    // Each lane begins with its own share of consecutive tiles, and takes of others' when that is done: loops whose
    // tiles follow the same rows find in a lane's cache what its last loop left there.
    void ParallelFor(int64_t tiles, TileFn fn);
    int lanes() const { return team_.capacity(); }

   private:
    WorkTeam& team_;
    int slot_;
  };

  // `linger`: how long one helper stays awake once no session is open, yielding its core to whoever wants it.
  explicit WorkTeam(int capacity, std::chrono::microseconds linger = std::chrono::microseconds(0));
  ~WorkTeam();
  WorkTeam(const WorkTeam&) = delete;
  WorkTeam& operator=(const WorkTeam&) = delete;

  int capacity() const { return capacity_; }

 private:
  struct Share;
  struct Slot;
  void HelperLoop(int helper);
  bool HelperMayRun() const;

  const int capacity_;
  const std::chrono::microseconds linger_;
  std::unique_ptr<Slot[]> slots_;  // [capacity], one per open session
  std::atomic<int> sessions_{0};   // open sessions
  std::atomic<int> helping_{0};    // helpers inside a loop or looking for one
  std::atomic<uint32_t> wake_{0};  // bumped to wake sleeping helpers
  std::atomic<bool> stop_{false};
  std::vector<std::thread> helpers_;  // capacity - 1
};

}  // namespace attnd

#endif  // ATTND_CORE_BASE_WORK_TEAM_H_
