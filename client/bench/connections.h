// The connections of the load generators.
#ifndef ATTND_CLIENT_BENCH_CONNECTIONS_H_
#define ATTND_CLIENT_BENCH_CONNECTIONS_H_

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "client/channel.h"

namespace attnd {

// At least one client, each with a connection of its own; waits up to 5 s for each to be connected.
inline std::vector<std::unique_ptr<Client>> ConnectedClients(ChannelOptions channel, int connections) {
  channel.own_connection = true;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < std::max(1, connections); ++i) clients.push_back(std::make_unique<Client>(channel));
  for (const auto& client : clients) {
    client->channel()->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(5));
  }
  return clients;
}

}  // namespace attnd

#endif  // ATTND_CLIENT_BENCH_CONNECTIONS_H_
