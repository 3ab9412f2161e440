#include "server/ops/server.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/base/call_once.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "core/base/cpu.h"
#include "grpc/health/v1/health.pb.h"
#include "server/ops/call_monitor.h"
#include "server/ops/grpc_options.h"
#include "server/ops/runtime_metrics.h"
#include "server/ops/status.h"

namespace attnd {
namespace {

// Answers calls of methods that do not exist, so that they are counted.
class UnknownMethods : public grpc::CallbackGenericService {
 public:
  explicit UnknownMethods(ServerContext& context) : context_(context) {}
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* call) override {
    class Reactor : public grpc::ServerGenericBidiReactor {
     public:
      Reactor(ServerContext& context, const std::string& peer)
          : monitor_(context, context.metrics.Method("unknown", "unknown"), peer) {
        const absl::Status status = absl::UnimplementedError("no such method");
        monitor_.Finish(status);
        Finish(ToGrpcStatus(status));
      }
      void OnDone() override { delete this; }

     private:
      CallMonitor monitor_;
    };
    return new Reactor(context_, call->peer());
  }

 private:
  ServerContext& context_;
};

Log* grpc_log = nullptr;  // never freed: gRPC's threads may write until the process ends

// gRPC's own errors, a few a second since callers can cause them, in the format of the other lines.
void GrpcLog(gpr_log_func_args* line) {
  static LogLimiter& limiter = *new LogLimiter(2);
  int64_t suppressed = 0;
  if (line->severity < GPR_LOG_SEVERITY_ERROR || !limiter.Allow(absl::Now(), suppressed)) return;
  grpc_log->Warn("grpc", {{"message", std::string(line->message)}, {"suppressed", suppressed}});
}

void RouteGrpcLog(Log::Format format, const std::string& level) {
  static absl::once_flag once;
  absl::call_once(once, [&] {
    grpc_log = new Log(format, level);
    gpr_set_log_function(GrpcLog);
  });
}

constexpr const char* kServices[] = {"", "attnd.v1.Attnd", "inference.GRPCInferenceService"};

// Sends GOAWAY over every connection, so that clients open no more calls there while those in flight finish. gRPC does
// that only as the first part of its shutdown, which C++ has as a whole alone. `queue` is one of the server's, which
// nobody reads; the server's own Shutdown must have returned before the end of this.
class GoodbyeToAll {
 public:
  GoodbyeToAll(grpc::Server& server, grpc::ServerCompletionQueue& queue) : queue_(queue) {
    grpc_server_shutdown_and_notify(server.c_server(), queue_.cq(), nullptr);
  }
  ~GoodbyeToAll() {
    queue_.Shutdown();
    while (grpc_completion_queue_next(queue_.cq(), gpr_inf_future(GPR_CLOCK_REALTIME), nullptr).type !=
           GRPC_QUEUE_SHUTDOWN) {
    }
  }
  GoodbyeToAll(const GoodbyeToAll&) = delete;
  GoodbyeToAll& operator=(const GoodbyeToAll&) = delete;

 private:
  grpc::ServerCompletionQueue& queue_;
};

// An error that a flag's value brought about.
absl::Status OfFlag(absl::string_view flag, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(flag, ": ", status.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Config& config, const ServiceFactory& make_services) {
  RaiseDescriptorLimit();
  RouteGrpcLog(config.log_json ? Log::Format::kJson : Log::Format::kText, config.log_level);
  auto server = std::unique_ptr<Server>(new Server(config));
  auto socket = ListenSocket::Bind(config.listen);
  if (!socket.ok()) return OfFlag("--listen", socket.status());
  server->socket_ = *std::move(socket);
  if (absl::Status status = server->repository_.LoadAll(config.models); !status.ok()) return status;
  if (absl::Status status = server->Serve(make_services); !status.ok()) return status;
  return server;
}

Server::Server(const Config& config)
    : config_(config),
      workers_count_(config.workers > 0 ? config.workers : AvailableCpus()),
      log_(config.log_json ? Log::Format::kJson : Log::Format::kText, config.log_level),
      team_(workers_count_, std::chrono::microseconds(config.linger_us)),
      batcher_(absl::Now, std::chrono::microseconds(config.linger_us)),
      long_calls_(std::max(2, workers_count_ / 2)),
      attention_memory_(config_.limits.max_attention_memory_bytes),
      loader_(config_.queue, config_.generation, workers_count_, team_, generation_threads_, metrics_),
      models_(loader_.Operator()),
      repository_(config_.model_repository, config_.repository_precision, loader_, models_, metrics_, log_),
      context_{config_.limits,    config_.queue, models_, repository_, batcher_, long_calls_,
               attention_memory_, metrics_,      log_,    refusals_,   drain_,   config_.access_log} {
  metrics_.ShowModel({models_.attention()->name, "operator", "f32", std::string(CpuPathName())});
}

Server::~Server() { Shutdown(); }

absl::Status Server::Serve(const ServiceFactory& make_services) {
  StartWorkers();

  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  // gRPC answers health checks without its descriptor: named here, it is linked, and reflection can describe it.
  grpc::health::v1::HealthCheckRequest::descriptor();
  grpc::ServerBuilder builder;
  ApplyGrpcOptions(config_.limits, builder);
  services_ = make_services(context_);
  for (const auto& service : services_) builder.RegisterService(service.get());
  unknown_methods_ = std::make_unique<UnknownMethods>(context_);
  builder.RegisterCallbackGenericService(unknown_methods_.get());
  hand_over_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, grpc::InsecureServerCredentials());
  goodbye_queue_ = builder.AddCompletionQueue(/*is_frequently_polled=*/false);
  grpc_server_ = builder.BuildAndStart();
  if (grpc_server_ == nullptr) return absl::InternalError("gRPC could not start");
  ServeHealth();

  acceptor_ = std::make_unique<Acceptor>(
      *socket_, config_.max_connections,
      [this](int fd) {
        grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
        parameters.listener_fd = socket_->fd();
        parameters.fd = fd;
        hand_over_->HandleNewConnection(&parameters);
      },
      log_);
  if (config_.metrics_listen != "off") {
    auto serving = std::make_shared<ServingMetrics>(batcher_, models_, attention_memory_,
                                                    [this] { return acceptor_->Connections(); });
    auto exposer = MetricsExposer::Start(config_.metrics_listen,
                                         {metrics_.registry(), std::make_shared<ProcessMetrics>(), std::move(serving)});
    if (!exposer.ok()) return OfFlag("--metrics-listen", exposer.status());
    exposer_ = *std::move(exposer);
  }
  const absl::Status status = acceptor_->Start();
  serving_ = status.ok();
  return status;
}

void Server::StartWorkers() {
  for (int i = 0; i < workers_count_; ++i) {
    workers_.emplace_back([this, i] { RunWorker(batcher_, i); });
  }
}

void Server::ServeHealth() {
  grpc::HealthCheckServiceInterface* health = grpc_server_->GetHealthCheckService();
  for (const char* service : kServices) health->SetServingStatus(service, true);
  for (const ServedModelPtr& model : models_.models()) health->SetServingStatus(model->name, true);
  repository_.Start([health](const std::string& name, bool serving) { health->SetServingStatus(name, serving); });
}

void Server::Shutdown() {
  if (shut_down_) return;
  shut_down_ = true;
  if (grpc_server_ != nullptr) {
    // NOT_SERVING for good: load balancers look elsewhere while calls are still taken.
    grpc_server_->GetHealthCheckService()->Shutdown();
    drain_.Announce();
    const bool anybody = acceptor_ != nullptr && acceptor_->Connections() > 0;
    // A server that could not start has nobody to take calls from.
    if (serving_) absl::SleepFor(std::max(config_.drain_grace, anybody ? config_.drain_notice : absl::ZeroDuration()));
    if (acceptor_ != nullptr) acceptor_->Stop();  // gRPC takes no connection once it has said goodbye
    const GoodbyeToAll goodbye(*grpc_server_, *goodbye_queue_);
    drain_.Start();
    const bool finished = drain_.Wait(absl::Now() + config_.drain_timeout);
    if (!finished) log_.Warn("drain timed out", {{"calls_cancelled", drain_.in_flight()}});
    repository_.Stop();  // it tells gRPC's health service of models
    // What is open then is cancelled: calls beyond the time-out, and health watches, which never end by themselves. The
    // answers of calls that have just finished are sent before.
    grpc_server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  }
  long_calls_.Stop();
  batcher_.Stop();
  for (std::thread& worker : workers_) worker.join();
  generation_threads_.StopAll();
  exposer_.reset();
}

std::string Server::ReadyLine(absl::Duration since_start) const {
  std::string models;
  for (const ServedModelPtr& model : models_.models()) {
    absl::StrAppend(&models, "   ", model->name, " ", model->precision_name(), " ", model->cpu_path());
  }
  if (models.empty()) models = "   no model";
  const double seconds = absl::ToDoubleSeconds(since_start);
  if (log_.format() == Log::Format::kText) {
    return absl::StrFormat("attnd ready in %.2f s%s   grpc %s   metrics %s", seconds, models, address(),
                           metrics_address());
  }
  std::string names;
  for (const ServedModelPtr& model : models_.models()) {
    absl::StrAppend(&names, names.empty() ? "" : ",", "\"", model->name, "\"");  // names need no escaping
  }
  return absl::StrFormat(R"({"event":"ready","seconds":%.3f,"models":[%s],"cpu_path":"%s","grpc":"%s","metrics":"%s"})",
                         seconds, names, std::string(CpuPathName()), address(), metrics_address());
}

}  // namespace attnd
