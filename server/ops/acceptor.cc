#include "server/ops/acceptor.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace attnd {
namespace {

int64_t DescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 1 << 20;
  return static_cast<int64_t>(limit.rlim_cur);
}

// The inode behind a descriptor, 0 when it is closed.
uint64_t Inode(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

int OpenSpare() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

}  // namespace

void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

Acceptor::Acceptor(ListenSocket& socket, int64_t max_connections, Sink sink, Log& log)
    : socket_(socket), max_connections_(max_connections), sink_(std::move(sink)), log_(log) {}

Acceptor::~Acceptor() {
  Stop();
  if (stop_fd_ >= 0) close(stop_fd_);
  if (spare_fd_ >= 0) close(spare_fd_);
}

absl::Status Acceptor::Start() {
  stop_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (stop_fd_ < 0) return absl::UnavailableError(absl::StrCat("eventfd: ", std::strerror(errno)));
  spare_fd_ = OpenSpare();
  if (absl::Status status = socket_.Listen(); !status.ok()) return status;
  thread_ = std::thread([this] { Loop(); });
  return absl::OkStatus();
}

void Acceptor::Stop() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_fd_, &one, sizeof(one));
  thread_.join();
  socket_.Close();
}

void Acceptor::Loop() {
  pollfd waits[2] = {{socket_.fd(), POLLIN, 0}, {stop_fd_, POLLIN, 0}};
  for (;;) {
    if (poll(waits, 2, -1) < 0 && errno != EINTR) break;
    if (waits[1].revents != 0) break;
    if (waits[0].revents != 0) AcceptAll();
  }
}

void Acceptor::AcceptAll() {
  for (;;) {
    const int fd = accept4(socket_.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      Take(fd);
      continue;
    }
    switch (errno) {
      case EINTR:
      case ECONNABORTED:
        continue;
      case EMFILE:
      case ENFILE: {
        // Without a descriptor the connection could not even be refused, and would be offered again at once, for ever.
        if (spare_fd_ >= 0) close(spare_fd_);
        const int refused = accept4(socket_.fd(), nullptr, nullptr, SOCK_CLOEXEC);
        if (refused >= 0) {
          Refuse("no descriptors left");
          close(refused);
        }
        spare_fd_ = OpenSpare();
        if (refused < 0 || spare_fd_ < 0) break;
        continue;
      }
      default:
        break;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    // Out of memory or of what the spare stood for: look again soon, unless asked to stop.
    pollfd wait = {stop_fd_, POLLIN, 0};
    poll(&wait, 1, 10);
    return;
  }
}

void Acceptor::Take(int fd) {
  const int64_t descriptors = DescriptorLimit();
  {
    absl::MutexLock lock(&mutex_);
    const absl::Time now = absl::Now();
    if (static_cast<int64_t>(open_.size()) >= max_connections_ && now - full_at_ > absl::Milliseconds(10)) {
      DropClosed();
      if (static_cast<int64_t>(open_.size()) >= max_connections_) full_at_ = now;
    }
    if (static_cast<int64_t>(open_.size()) >= max_connections_) {
      Refuse("max_connections");
      close(fd);
      return;
    }
    // Numbers are given lowest first: a high one means that few are left.
    if (fd >= descriptors - kReservedDescriptors) {
      Refuse("few descriptors left");
      close(fd);
      return;
    }
    open_[fd] = Inode(fd);
  }
  if (socket_.is_tcp()) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  sink_(fd);
}

void Acceptor::Refuse(const char* reason) {
  refused_.fetch_add(1, std::memory_order_relaxed);
  int64_t suppressed = 0;
  if (!refusals_.Allow(absl::Now(), suppressed)) return;
  log_.Warn("connection refused", {{"reason", std::string(reason)},
                                   {"max_connections", max_connections_},
                                   {"max_descriptors", DescriptorLimit()},
                                   {"suppressed", suppressed}});
}

void Acceptor::DropClosed() {
  absl::erase_if(open_, [](const auto& entry) { return Inode(entry.first) != entry.second; });
}

int64_t Acceptor::Connections() {
  absl::MutexLock lock(&mutex_);
  DropClosed();
  return static_cast<int64_t>(open_.size());
}

}  // namespace attnd
