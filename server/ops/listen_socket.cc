#include "server/ops/listen_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

constexpr int kSocketFlags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

absl::Status CannotListen(const std::string& address, int error) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", address, ": ",
                                             error == EADDRINUSE ? "the address is in use" : std::strerror(error)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ListenSocket>> ListenSocket::Bind(const std::string& address) {
  auto socket = std::unique_ptr<ListenSocket>(new ListenSocket());
  const absl::Status status = absl::StartsWith(address, "unix:") ? socket->BindUnix(address) : socket->BindTcp(address);
  if (!status.ok()) return status;
  return socket;
}

ListenSocket::~ListenSocket() { Close(); }

void ListenSocket::Close() {
  if (fd_ < 0) return;
  close(fd_);
  fd_ = -1;
  if (!path_.empty()) unlink(path_.c_str());
}

absl::Status ListenSocket::Listen() {
  return listen(fd_, SOMAXCONN) == 0 ? absl::OkStatus() : CannotListen(address_, errno);
}

absl::Status ListenSocket::BindTcp(const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = -1;
  if (colon == std::string::npos || colon == 0 || !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 ||
      port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("\"", address, "\" is not HOST:PORT or unix:PATH"));
  }
  std::string host = address.substr(0, colon);
  const std::string shown = host;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  const int error = getaddrinfo(host.c_str(), absl::StrCat(port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::InvalidArgumentError(absl::StrCat("cannot listen on ", address, ": ", gai_strerror(error)));
  }
  int last_error = EADDRNOTAVAIL;
  for (const addrinfo* info = found; info != nullptr && fd_ < 0; info = info->ai_next) {
    const int fd = socket(info->ai_family, kSocketFlags, 0);
    const int on = 1;
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd >= 0 && bind(fd, info->ai_addr, info->ai_addrlen) == 0) {
      fd_ = fd;
    } else {
      last_error = errno;
      if (fd >= 0) close(fd);
    }
  }
  freeaddrinfo(found);
  if (fd_ < 0) return CannotListen(address, last_error);
  sockaddr_storage bound;
  socklen_t size = sizeof(bound);
  if (getsockname(fd_, reinterpret_cast<sockaddr*>(&bound), &size) == 0) {
    port = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
  }
  address_ = absl::StrCat(shown, ":", port);
  return absl::OkStatus();
}

absl::Status ListenSocket::BindUnix(const std::string& address) {
  const std::string path = address.substr(5);
  sockaddr_un name = {};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(name.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("unix:PATH needs a path of 1 to ", sizeof(name.sun_path) - 1, " bytes"));
  }
  std::memcpy(name.sun_path, path.data(), path.size());
  const auto* generic = reinterpret_cast<const sockaddr*>(&name);
  fd_ = socket(AF_UNIX, kSocketFlags, 0);
  if (fd_ < 0) return CannotListen(address, errno);
  if (bind(fd_, generic, sizeof(name)) != 0) {
    if (errno != EADDRINUSE) return CannotListen(address, errno);
    const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool stale = probe >= 0 && connect(probe, generic, sizeof(name)) != 0 && errno == ECONNREFUSED;
    if (probe >= 0) close(probe);
    if (!stale) return CannotListen(address, EADDRINUSE);
    unlink(path.c_str());
    if (bind(fd_, generic, sizeof(name)) != 0) return CannotListen(address, errno);
  }
  path_ = path;
  address_ = address;
  return absl::OkStatus();
}

}  // namespace attnd
