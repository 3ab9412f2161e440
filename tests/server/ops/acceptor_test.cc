#include "server/ops/acceptor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <sstream>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "tests/server/ops/http_get.h"
#include "tests/temp_files.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

// Keeps what it is given, and gives one byte to each connection, so that a client knows it was taken.
class Holder {
 public:
  Acceptor::Sink sink() {
    return [this](int fd) {
      absl::MutexLock lock(&mutex_);
      EXPECT_EQ(send(fd, "!", 1, MSG_NOSIGNAL), 1);
      held_.push_back(fd);
    };
  }
  void CloseOne() {
    absl::MutexLock lock(&mutex_);
    close(held_.back());
    held_.pop_back();
  }
  ~Holder() {
    for (int fd : held_) close(fd);
  }

 private:
  absl::Mutex mutex_;
  std::vector<int> held_;
};

// Whether the server took the connection (a byte came) or refused it (the end came). Closes nothing.
bool Taken(int fd) {
  const timeval patience = {20, 0};  // a hanging connection is a failure, not a hanging test
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  char byte;
  const ssize_t n = recv(fd, &byte, 1, 0);
  EXPECT_FALSE(n < 0 && errno == EAGAIN) << "neither taken nor refused";
  return n == 1;
}

struct Fixture {
  explicit Fixture(int64_t max_connections)
      : socket(*ListenSocket::Bind("127.0.0.1:0")), acceptor(*socket, max_connections, holder.sink(), log) {
    EXPECT_TRUE(acceptor.Start().ok());
  }
  std::ostringstream out;
  Log log{Log::Format::kText, "info", &out};
  Holder holder;
  std::unique_ptr<ListenSocket> socket;
  Acceptor acceptor;
};

TEST(AcceptorTest, BoundsConnectionsAndTakesNewOnesWhenOldOnesEnd) {
  Fixture f(3);
  std::vector<int> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(Connect(f.socket->address()));
    EXPECT_TRUE(Taken(clients.back()));
  }
  EXPECT_EQ(f.acceptor.Connections(), 3);
  const int refused = Connect(f.socket->address());
  EXPECT_FALSE(Taken(refused));
  close(refused);
  EXPECT_EQ(f.acceptor.refused(), 1);
  f.holder.CloseOne();
  EXPECT_EQ(f.acceptor.Connections(), 2);
  clients.push_back(Connect(f.socket->address()));
  EXPECT_TRUE(Taken(clients.back()));
  f.acceptor.Stop();
  EXPECT_THAT(f.out.str(), HasSubstr("connection refused reason=max_connections max_connections=3"));
  for (int fd : clients) close(fd);
}

TEST(AcceptorTest, SurvivesTheEndOfDescriptors) {
  Fixture f(1000000);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  // Clients' ends first, so that the limit meets the server's side only.
  std::vector<int> fillers;
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
            second = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(second) + 8;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  for (int fd; (fd = dup(0)) >= 0;) fillers.push_back(fd);
  EXPECT_EQ(errno, EMFILE);

  const sockaddr_in name = SocketName(f.socket->address());
  ASSERT_EQ(connect(client, reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
  EXPECT_FALSE(Taken(client)) << "without descriptors a connection is refused, not left hanging";
  EXPECT_GE(f.acceptor.refused(), 1);

  for (int fd : fillers) close(fd);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_EQ(connect(second, reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
  EXPECT_TRUE(Taken(second)) << "with descriptors again, connections are taken again";
  f.acceptor.Stop();
  EXPECT_THAT(f.out.str(), HasSubstr("descriptors left"));
  close(client);
  close(second);
}

TEST(ListenSocketTest, APortInUseIsNamed) {
  auto first = ListenSocket::Bind("127.0.0.1:0");
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE((*first)->Listen().ok());
  const auto second = ListenSocket::Bind((*first)->address());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(std::string(second.status().message()),
            "cannot listen on " + (*first)->address() + ": the address is in use");
}

TEST(ListenSocketTest, MalformedAddresses) {
  for (const char* address :
       {"", "50051", ":1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "unix:", "nohost.invalid:1"}) {
    EXPECT_EQ(ListenSocket::Bind(address).status().code(), absl::StatusCode::kInvalidArgument) << address;
  }
}

TEST(ListenSocketTest, UnixSocketsReplaceWhatNobodyServes) {
  const std::string path = TempPath("acceptor.sock");
  unlink(path.c_str());
  {  // A file left behind by a process that died.
    sockaddr_un name = {};
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path, path.data(), path.size());
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
    close(fd);
  }
  {
    auto first = ListenSocket::Bind("unix:" + path);
    ASSERT_TRUE(first.ok()) << first.status();
    ASSERT_TRUE((*first)->Listen().ok());
    EXPECT_EQ(ListenSocket::Bind("unix:" + path).status().code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace attnd
