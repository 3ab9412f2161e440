// Server: everything of attnd put together, from a configuration to a port that answers.
#ifndef ATTND_SERVER_OPS_SERVER_H_
#define ATTND_SERVER_OPS_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/work_team.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/impl/service_type.h"
#include "server/batching/executor.h"
#include "server/ops/acceptor.h"
#include "server/ops/config.h"
#include "server/ops/exposer.h"
#include "server/ops/server_context.h"

namespace attnd {

// Makes the gRPC services; they may keep the context, which outlives them.
using ServiceFactory = std::function<std::vector<std::unique_ptr<grpc::Service>>(ServerContext&)>;

class Server {
 public:
  // Loads the models and starts serving. Errors say what is at fault: the model and its file, the flag and its address.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Config& config, const ServiceFactory& make_services);
  ~Server();  // Shutdown, if that has not been called
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Ends the server: health says NOT_SERVING; after drain_grace, and drain_notice where anybody is connected, the port
  // is closed and all connections get GOAWAY; calls in flight finish, or are cancelled after drain_timeout. Returns
  // when all is stopped. Once.
  void Shutdown();

  ServerContext& context() { return context_; }
  const std::string& address() const { return socket_->address(); }
  std::string metrics_address() const { return exposer_ == nullptr ? "off" : exposer_->address(); }
  // "attnd ready in 0.31 s   minilm f32 avx2   grpc 127.0.0.1:50051   metrics 127.0.0.1:9464", or the same as JSON.
  std::string ReadyLine(absl::Duration since_start) const;

 private:
  explicit Server(const Config& config);
  absl::Status Serve(const ServiceFactory& make_services);
  void StartWorkers();
  void ServeHealth();

  // In the order of need: what comes later uses what comes before.
  const Config config_;
  const int workers_count_;
  Log log_;
  LogLimiter refusals_{10};  // log lines a second about refused calls
  Drain drain_;
  Metrics metrics_;
  std::unique_ptr<ListenSocket> socket_;
  WorkTeam team_;
  GenerationThreads generation_threads_;
  Batcher batcher_;
  LongCalls long_calls_;
  MemoryBudget attention_memory_;
  const ModelLoader loader_;
  ModelRegistry models_;
  ModelRepository repository_;
  ServerContext context_;
  std::vector<std::thread> workers_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::CallbackGenericService> unknown_methods_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> hand_over_;
  std::unique_ptr<grpc::ServerCompletionQueue> goodbye_queue_;  // of its shutdown
  std::unique_ptr<grpc::Server> grpc_server_;
  std::unique_ptr<Acceptor> acceptor_;
  std::unique_ptr<MetricsExposer> exposer_;
  bool serving_ = false;  // Serve has come to its end
  bool shut_down_ = false;
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_SERVER_H_
