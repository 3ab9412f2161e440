// The smallest HTTP client.
#ifndef ATTND_TESTS_SERVER_OPS_HTTP_GET_H_
#define ATTND_TESTS_SERVER_OPS_HTTP_GET_H_

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace attnd {

// The socket's name of "127.0.0.1:PORT".
inline sockaddr_in SocketName(const std::string& address) {
  sockaddr_in name = {};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  inet_pton(AF_INET, "127.0.0.1", &name.sin_addr);
  return name;
}

// A TCP connection to "127.0.0.1:PORT", or -1.
inline int Connect(const std::string& address) {
  const sockaddr_in name = SocketName(address);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0) return fd;
  close(fd);
  return -1;
}

// The body of the answer to GET `path`; empty when the server does not answer.
inline std::string HttpGet(const std::string& address, const std::string& path) {
  const int fd = Connect(address);
  if (fd < 0) return "";
  const std::string request = "GET " + path + " HTTP/1.0\r\n\r\n";
  std::string answer;
  if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
    char buffer[65536];
    for (ssize_t n; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0;) answer.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  const size_t body = answer.find("\r\n\r\n");
  return body == std::string::npos ? "" : answer.substr(body + 4);
}

}  // namespace attnd

#endif  // ATTND_TESTS_SERVER_OPS_HTTP_GET_H_
