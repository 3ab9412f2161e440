// Acceptor: takes connections in, bounds their number, and survives running out of descriptors.
#ifndef ATTND_SERVER_OPS_ACCEPTOR_H_
#define ATTND_SERVER_OPS_ACCEPTOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/ops/listen_socket.h"
#include "server/ops/log.h"

namespace attnd {

// gRPC's own listener neither bounds connections nor recovers once accept() has failed for want of descriptors, so this
// loop accepts and hands the descriptors over. Connections beyond the bound are closed at once: the client sees
// UNAVAILABLE.
class Acceptor {
 public:
  using Sink = std::function<void(int fd)>;  // takes the descriptor over; called on the acceptor's thread

  // Connections are refused, too, when no more than kReservedDescriptors of the process are left.
  // `log` and `socket` outlive the acceptor.
  Acceptor(ListenSocket& socket, int64_t max_connections, Sink sink, Log& log);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  absl::Status Start();  // listens, and accepts on a thread of its own
  void Stop();           // closes the socket; connections that are open stay. Idempotent

  // Open connections: counted by looking at them, so not for hot paths.
  int64_t Connections() ABSL_LOCKS_EXCLUDED(mutex_);
  int64_t refused() const { return refused_.load(std::memory_order_relaxed); }

  static constexpr int kReservedDescriptors = 32;  // for files, the metrics port and logs

 private:
  void Loop();
  void AcceptAll();
  void Take(int fd) ABSL_LOCKS_EXCLUDED(mutex_);
  void Refuse(const char* reason);
  void DropClosed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ListenSocket& socket_;
  const int64_t max_connections_;
  const Sink sink_;
  Log& log_;
  LogLimiter refusals_{1};
  std::atomic<int64_t> refused_{0};
  int stop_fd_ = -1;   // eventfd
  int spare_fd_ = -1;  // given up to accept, and so refuse, a connection when there is no other left
  absl::Mutex mutex_;
  // Who owns a descriptor does not tell when it closes it; its inode tells whether a number still is the same socket.
  absl::flat_hash_map<int, uint64_t> open_ ABSL_GUARDED_BY(mutex_);    // descriptor -> inode
  absl::Time full_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();  // when the bound was last found reached
  std::thread thread_;
};

// Raises the soft limit of open descriptors to the hard one.
void RaiseDescriptorLimit();

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_ACCEPTOR_H_
