#include "server/ops/server.h"

#include <grpc/support/log.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/health_check_service_interface.h>

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

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Config& config, const ServiceFactory& make_services,
                                                      std::unique_ptr<ModelRegistry> models) {
  RaiseDescriptorLimit();
  RouteGrpcLog(config.log_json ? Log::Format::kJson : Log::Format::kText, config.log_level);
  auto server = std::unique_ptr<Server>(new Server(config));
  auto socket = ListenSocket::Bind(config.listen);
  if (!socket.ok()) return socket.status();
  server->socket_ = *std::move(socket);
  if (models == nullptr) {
    auto loaded = ModelRegistry::Load(config.models);
    if (!loaded.ok()) return loaded.status();
    models = *std::move(loaded);
  }
  server->models_ = std::move(models);
  if (absl::Status status = server->Serve(make_services); !status.ok()) return status;
  return server;
}

Server::Server(const Config& config)
    : config_(config),
      workers_count_(config.workers > 0 ? config.workers : AvailableCpus()),
      log_(config.log_json ? Log::Format::kJson : Log::Format::kText, config.log_level) {}

Server::~Server() { Shutdown(); }

absl::Status Server::Serve(const ServiceFactory& make_services) {
  std::vector<std::string> queue_names;
  const std::string cpu_path(CpuPathName());
  for (const ServedModel& model : models_->models()) {
    const ModelConfig& shape = model.model->config;
    const std::string architecture = shape.architectures.empty() ? shape.model_type : shape.architectures[0];
    metrics_.AddModel({model.name, architecture, model.precision, cpu_path});
    queue_names.push_back(model.name);
    log_.Info("model", {{"name", model.name},
                        {"architecture", architecture},
                        {"precision", model.precision},
                        {"cpu_path", cpu_path},
                        {"layers", int64_t{shape.layers}},
                        {"heads", int64_t{shape.heads}},
                        {"dimensions", int64_t{shape.hidden_size}},
                        {"max_tokens", int64_t{shape.max_tokens}},
                        {"weight_mib", static_cast<double>(model.model->weight_bytes >> 20)}});
  }
  metrics_.AddModel({models_->attention().name, "operator", "f32", cpu_path});
  queue_names.push_back(models_->attention().name);

  team_ = std::make_unique<WorkTeam>(workers_count_);
  batcher_ = std::make_unique<Batcher>(std::vector<QueueOptions>(queue_names.size(), config_.queue));
  context_ = std::make_unique<ServerContext>(ServerContext{config_.limits, config_.queue, *models_, *batcher_, metrics_,
                                                           log_, refusals_, drain_, config_.access_log});
  StartWorkers();

  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  // gRPC answers health checks without its descriptor: named here, it is linked, and reflection can describe it.
  grpc::health::v1::HealthCheckRequest::descriptor();
  grpc::ServerBuilder builder;
  ApplyGrpcOptions(config_.limits, builder);
  services_ = make_services(*context_);
  for (const auto& service : services_) builder.RegisterService(service.get());
  unknown_methods_ = std::make_unique<UnknownMethods>(*context_);
  builder.RegisterCallbackGenericService(unknown_methods_.get());
  hand_over_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, grpc::InsecureServerCredentials());
  grpc_server_ = builder.BuildAndStart();
  if (grpc_server_ == nullptr) return absl::InternalError("gRPC could not start");
  SetHealth();

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
    auto queues = std::make_shared<QueueMetrics>(*batcher_, queue_names, [this] { return acceptor_->Connections(); });
    auto exposer = MetricsExposer::Start(config_.metrics_listen,
                                         {metrics_.registry(), std::make_shared<ProcessMetrics>(), std::move(queues)});
    if (!exposer.ok()) return exposer.status();
    exposer_ = *std::move(exposer);
  }
  return acceptor_->Start();
}

void Server::StartWorkers() {
  const BatchObserver observe = [this](const BatchReport& report) {
    metrics_.ObserveBatch(report);
    const bool built_in = report.model == models_->attention().index;
    ModelCounters& counters = *(built_in ? models_->attention() : models_->models()[report.model]).counters;
    counters.sequences.fetch_add(report.sequences, std::memory_order_relaxed);
    counters.batches.fetch_add(1, std::memory_order_relaxed);
  };
  for (int i = 0; i < workers_count_; ++i) {
    workers_.emplace_back([this, observe] {
      std::vector<std::unique_ptr<Executor>> executors;
      for (const ServedModel& model : models_->models()) {
        executors.push_back(std::make_unique<EngineExecutor>(*model.model, *team_, absl::Now, observe));
      }
      executors.push_back(std::make_unique<TaskExecutor>(*team_, absl::Now, observe));
      RunWorker(*batcher_, executors);
    });
  }
}

void Server::SetHealth() {
  grpc::HealthCheckServiceInterface* health = grpc_server_->GetHealthCheckService();
  for (const char* service : kServices) health->SetServingStatus(service, true);
  for (const ServedModel& model : models_->models()) health->SetServingStatus(model.name, true);
}

void Server::Shutdown() {
  if (shut_down_) return;
  shut_down_ = true;
  if (grpc_server_ != nullptr) {
    // NOT_SERVING for good: load balancers look elsewhere while calls are still taken.
    grpc_server_->GetHealthCheckService()->Shutdown();
    absl::SleepFor(config_.drain_grace);
    drain_.Start();
    const bool finished = drain_.Wait(absl::Now() + config_.drain_timeout);
    if (!finished) log_.Warn("drain timed out", {{"calls_cancelled", drain_.in_flight()}});
    if (acceptor_ != nullptr) acceptor_->Stop();
    // What is open now is cancelled: calls beyond the time-out, and health watches, which never end by themselves.
    grpc_server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(finished ? 50 : 200));
  }
  if (batcher_ != nullptr) batcher_->Stop();
  for (std::thread& worker : workers_) worker.join();
  exposer_.reset();
}

std::string Server::ReadyLine(absl::Duration since_start) const {
  std::string models;
  for (const ServedModel& model : models_->models()) {
    absl::StrAppend(&models, "   ", model.name, " ", model.precision, " ", std::string(CpuPathName()));
  }
  if (models.empty()) models = "   no model";
  const double seconds = absl::ToDoubleSeconds(since_start);
  if (log_.format() == Log::Format::kText) {
    return absl::StrFormat("attnd ready in %.2f s%s   grpc %s   metrics %s", seconds, models, address(),
                           metrics_address());
  }
  std::string names;
  for (const ServedModel& model : models_->models()) {
    absl::StrAppend(&names, names.empty() ? "" : ",", "\"", model.name, "\"");  // names need no escaping
  }
  return absl::StrFormat(R"({"event":"ready","seconds":%.3f,"models":[%s],"cpu_path":"%s","grpc":"%s","metrics":"%s"})",
                         seconds, names, std::string(CpuPathName()), address(), metrics_address());
}

}  // namespace attnd
