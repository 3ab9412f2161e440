// ListenSocket: a bound address, TCP or Unix.
#ifndef ATTND_SERVER_OPS_LISTEN_SOCKET_H_
#define ATTND_SERVER_OPS_LISTEN_SOCKET_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace attnd {

class ListenSocket {
 public:
  // Binds "HOST:PORT" (port 0: any free one; IPv6 in brackets) or "unix:PATH" (a socket file that nobody serves is
  // replaced). kUnavailable: in use, or not an address of this host; kInvalidArgument: malformed. Both name the
  // address.
  static absl::StatusOr<std::unique_ptr<ListenSocket>> Bind(const std::string& address);
  ~ListenSocket();  // closes
  ListenSocket(const ListenSocket&) = delete;
  ListenSocket& operator=(const ListenSocket&) = delete;

  absl::Status Listen();                                   // from now on connections queue up
  void Close();                                            // from now on connections are refused. Idempotent
  int fd() const { return fd_; }                           // owned; non-blocking
  const std::string& address() const { return address_; }  // with the port that was bound
  bool is_tcp() const { return path_.empty(); }

 private:
  ListenSocket() = default;
  absl::Status BindTcp(const std::string& address);
  absl::Status BindUnix(const std::string& address);
  int fd_ = -1;
  std::string address_;
  std::string path_;  // of a Unix socket, else empty; the file goes when the socket is closed
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_LISTEN_SOCKET_H_
