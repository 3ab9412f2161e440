#include "server/rpc/oip_service.h"

#include <type_traits>
#include <utility>

#include "inference/grpc_service.grpc.pb.h"
#include "server/ops/status.h"
#include "server/rpc/oip_call.h"
#include "server/rpc/oip_describe.h"
#include "server/rpc/oip_stream.h"
#include "server/rpc/unary.h"

namespace attnd {
namespace {

// ModelInfer.
class InferCall : public UnaryCall<inference::ModelInferRequest, inference::ModelInferResponse> {
 public:
  using UnaryCall::UnaryCall;

 private:
  void Run() override {
    auto call = OipCall::Make(context_, origin_, request_);
    if (!call.ok()) return Fail(call.status());
    infer_ = *std::move(call);
    monitor_.SetModel(infer_->model());
    Tokenising([this] {
      infer_->Start([this](const absl::Status& status) {
        if (!status.ok()) return Fail(status);
        infer_->Observe(monitor_);
        SliceWriter writer;
        infer_->Write(writer);
        Respond(writer.Finish());
      });
    });
  }
  void OnCancel() override {
    if (infer_ != nullptr) infer_->Cancel();
  }

  std::unique_ptr<OipCall> infer_;
};

// A call that is answered from what is there.
template <typename Request, typename Response, absl::Status (*kAnswer)(ServerContext&, const Request&, Response&)>
class QueryCall : public UnaryCall<Request, Response> {
 public:
  using UnaryCall<Request, Response>::UnaryCall;

 private:
  void Run() override {
    Response response;
    const absl::Status status = kAnswer(this->context_, this->request_, response);
    if (!status.ok()) return this->Fail(status);
    this->Respond(response);
  }
  bool AnsweredToTheEnd() const override {
    return std::is_same_v<Request, inference::ServerLiveRequest> ||
           std::is_same_v<Request, inference::ServerReadyRequest>;
  }
};

absl::Status ServerLive(ServerContext&, const inference::ServerLiveRequest&, inference::ServerLiveResponse& response) {
  response.set_live(true);
  return absl::OkStatus();
}

// As health says.
absl::Status ServerReady(ServerContext& context, const inference::ServerReadyRequest&,
                         inference::ServerReadyResponse& response) {
  response.set_ready(!context.drain.announced());
  return absl::OkStatus();
}

// An unknown model is not ready, which is how Triton answers, too.
absl::Status ModelReady(ServerContext& context, const inference::ModelReadyRequest& request,
                        inference::ModelReadyResponse& response) {
  response.set_ready(FindOipModel(context, request.name(), request.version()).ok());
  return absl::OkStatus();
}

absl::Status ServerMetadata(ServerContext&, const inference::ServerMetadataRequest&,
                            inference::ServerMetadataResponse& response) {
  DescribeServer(response);
  return absl::OkStatus();
}

absl::Status ModelMetadata(ServerContext& context, const inference::ModelMetadataRequest& request,
                           inference::ModelMetadataResponse& response) {
  const auto model = FindOipModel(context, request.name(), request.version());
  if (model.ok()) DescribeModel(**model, response);
  return model.status();
}

absl::Status ModelConfiguration(ServerContext& context, const inference::ModelConfigRequest& request,
                                inference::ModelConfigResponse& response) {
  const auto model = FindOipModel(context, request.name(), request.version());
  if (model.ok()) DescribeConfig(context, **model, *response.mutable_config());
  return model.status();
}

absl::Status ModelStatistics(ServerContext& context, const inference::ModelStatisticsRequest& request,
                             inference::ModelStatisticsResponse& response) {
  if (request.name().empty()) {
    for (const ServedModelPtr& model : context.models.models()) DescribeStatistics(*model, *response.add_model_stats());
    DescribeStatistics(*context.models.attention(), *response.add_model_stats());
    return absl::OkStatus();
  }
  const auto model = FindOipModel(context, request.name(), request.version());
  if (model.ok()) DescribeStatistics(**model, *response.add_model_stats());
  return model.status();
}

absl::Status RepositoryIndex(ServerContext& context, const inference::RepositoryIndexRequest& request,
                             inference::RepositoryIndexResponse& response) {
  const auto add = [&](const std::string& name, bool ready, const std::string& reason) {
    if (request.ready() && !ready) return;
    auto* entry = response.add_models();
    entry->set_name(name);
    entry->set_version(ready ? "1" : "");
    entry->set_state(ready ? "READY" : "UNAVAILABLE");
    entry->set_reason(reason);
  };
  for (const ModelRepository::Entry& entry : context.repository.Index()) add(entry.name, entry.ready, entry.reason);
  add(context.models.attention()->name, true, "");
  return absl::OkStatus();
}

// RepositoryModelLoad and RepositoryModelUnload: answered when it is done, by the repository's thread.
template <typename Request, typename Response,
          void (ModelRepository::*kTask)(const std::string&, ModelRepository::Done)>
class RepositoryCall : public UnaryCall<Request, Response> {
 public:
  using UnaryCall<Request, Response>::UnaryCall;

 private:
  void Run() override {
    // Triton's parameters would bring a configuration or files.
    for (const auto& parameter : this->request_.parameters()) {
      if (parameter.first == "unload_dependents") continue;
      return this->Fail(FieldError("parameters", "no parameter is supported: the model is what its folder holds"));
    }
    (this->context_.repository.*kTask)(this->request_.model_name(), [this](const absl::Status& status) {
      if (!status.ok()) return this->Fail(WithField(status, "model_name"));
      this->Respond(Response());
    });
  }
};
using LoadCall = RepositoryCall<inference::RepositoryModelLoadRequest, inference::RepositoryModelLoadResponse,
                                &ModelRepository::Load>;
using UnloadCall = RepositoryCall<inference::RepositoryModelUnloadRequest, inference::RepositoryModelUnloadResponse,
                                  &ModelRepository::Unload>;

using Base = inference::GRPCInferenceService;
// clang-format off
using RawService =
    Base::WithRawCallbackMethod_ServerLive<
    Base::WithRawCallbackMethod_ServerReady<
    Base::WithRawCallbackMethod_ModelReady<
    Base::WithRawCallbackMethod_ServerMetadata<
    Base::WithRawCallbackMethod_ModelMetadata<
    Base::WithRawCallbackMethod_ModelInfer<
    Base::WithRawCallbackMethod_ModelStreamInfer<
    Base::WithRawCallbackMethod_ModelConfig<
    Base::WithRawCallbackMethod_ModelStatistics<
    Base::WithRawCallbackMethod_RepositoryIndex<
    Base::WithRawCallbackMethod_RepositoryModelLoad<
    Base::WithRawCallbackMethod_RepositoryModelUnload<Base::Service>>>>>>>>>>>>;
// clang-format on

class InferenceService : public RawService {
 public:
  explicit InferenceService(ServerContext& context) : context_(context) {}

 private:
  using Call = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;

  ServerContext& context_;  // before the series of the methods, which come from it

  const MethodMetrics& Method(const char* name) const {
    return context_.metrics.Method("inference.GRPCInferenceService", name);
  }
  template <typename Request, typename Response, absl::Status (*kAnswer)(ServerContext&, const Request&, Response&)>
  grpc::ServerUnaryReactor* Query(const MethodMetrics& method, Call* call, const Bytes* request, Bytes* reply) {
    return MakeCall<QueryCall<Request, Response, kAnswer>>(context_, method, call, request, reply);
  }

  grpc::ServerUnaryReactor* ModelInfer(Call* call, const Bytes* request, Bytes* reply) override {
    return MakeCall<InferCall>(context_, infer_, call, request, reply);
  }
  grpc::ServerUnaryReactor* RepositoryModelLoad(Call* call, const Bytes* request, Bytes* reply) override {
    return MakeCall<LoadCall>(context_, load_, call, request, reply);
  }
  grpc::ServerUnaryReactor* RepositoryModelUnload(Call* call, const Bytes* request, Bytes* reply) override {
    return MakeCall<UnloadCall>(context_, unload_, call, request, reply);
  }
  grpc::ServerBidiReactor<Bytes, Bytes>* ModelStreamInfer(Call* call) override {
    return OrderedStream::Make<OipStream>(context_, stream_infer_, call);
  }
// The query methods differ in their names alone.
#define ATTND_OIP_QUERY(METHOD, ANSWER)                                                                              \
  grpc::ServerUnaryReactor* METHOD(Call* call, const Bytes* request, Bytes* reply) override {                        \
    return Query<inference::METHOD##Request, inference::METHOD##Response, &ANSWER>(METHOD##_, call, request, reply); \
  }                                                                                                                  \
  const MethodMetrics& METHOD##_ = Method(#METHOD)
  ATTND_OIP_QUERY(ServerLive, attnd::ServerLive);
  ATTND_OIP_QUERY(ServerReady, attnd::ServerReady);
  ATTND_OIP_QUERY(ModelReady, attnd::ModelReady);
  ATTND_OIP_QUERY(ServerMetadata, attnd::ServerMetadata);
  ATTND_OIP_QUERY(ModelMetadata, attnd::ModelMetadata);
  ATTND_OIP_QUERY(ModelConfig, attnd::ModelConfiguration);
  ATTND_OIP_QUERY(ModelStatistics, attnd::ModelStatistics);
  ATTND_OIP_QUERY(RepositoryIndex, attnd::RepositoryIndex);
#undef ATTND_OIP_QUERY

  const MethodMetrics& infer_ = Method("ModelInfer");
  const MethodMetrics& load_ = Method("RepositoryModelLoad");
  const MethodMetrics& unload_ = Method("RepositoryModelUnload");
  const MethodMetrics& stream_infer_ = Method("ModelStreamInfer");
};

}  // namespace

std::unique_ptr<grpc::Service> MakeInferenceService(ServerContext& context) {
  return std::make_unique<InferenceService>(context);
}

}  // namespace attnd
