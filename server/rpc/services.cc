#include "server/rpc/services.h"

#include <google/protobuf/stubs/logging.h>

#include "attnd/v1/attnd.grpc.pb.h"
#include "server/rpc/attend.h"
#include "server/rpc/attention_op_v1.h"
#include "server/rpc/embed_call.h"
#include "server/rpc/embed_stream.h"
#include "server/rpc/estimate_call.h"
#include "server/rpc/model_calls.h"
#include "server/rpc/oip_service.h"
#include "server/rpc/task_calls.h"
#include "server/rpc/tokenize_calls.h"

namespace attnd {
namespace {

// clang-format off
using RawService =
    v1::Attnd::WithRawCallbackMethod_Embed<
    v1::Attnd::WithRawCallbackMethod_EmbedStream<
    v1::Attnd::WithRawCallbackMethod_Classify<
    v1::Attnd::WithRawCallbackMethod_Rerank<
    v1::Attnd::WithRawCallbackMethod_TokenClassify<
    v1::Attnd::WithRawCallbackMethod_FillMask<
    v1::Attnd::WithRawCallbackMethod_Attend<
    v1::Attnd::WithRawCallbackMethod_EstimateAttention<
    v1::Attnd::WithRawCallbackMethod_ComputeAttention<
    v1::Attnd::WithRawCallbackMethod_Tokenize<
    v1::Attnd::WithRawCallbackMethod_Detokenize<
    v1::Attnd::WithRawCallbackMethod_ListModels<
    v1::Attnd::WithRawCallbackMethod_GetModel<v1::Attnd::Service>>>>>>>>>>>>>;
// clang-format on

// attnd.v1.Attnd: each call is an object of its own.
class AttndService : public RawService {
 public:
  explicit AttndService(ServerContext& context) : context_(context) {}

 private:
  using Call = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;

  const MethodMetrics& Method(const char* name) const { return context_.metrics.Method("attnd.v1.Attnd", name); }

  grpc::ServerUnaryReactor* Embed(Call* call, const Bytes* request, Bytes* reply) override {
    return MakeCall<EmbedCall>(context_, embed_, call, request, reply);
  }
  grpc::ServerBidiReactor<Bytes, Bytes>* EmbedStream(Call* call) override {
    return EmbedStreamCall::Make(context_, embed_stream_, call);
  }
  grpc::ServerUnaryReactor* Classify(Call* call, const Bytes* request, Bytes* reply) override {
    return MakeCall<ClassifyCall>(context_, classify_, call, request, reply);
  }
  grpc::ServerUnaryReactor* Rerank(Call* call, const Bytes* request, Bytes* reply) override {
    return MakeCall<RerankCall>(context_, rerank_, call, request, reply);
  }
  grpc::ServerUnaryReactor* TokenClassify(Call* call, const Bytes* request, Bytes* reply) override {
    return MakeCall<TokenClassifyCall>(context_, token_classify_, call, request, reply);
  }
  grpc::ServerUnaryReactor* FillMask(Call* call, const Bytes* request, Bytes* reply) override {
    return MakeCall<FillMaskCall>(context_, fill_mask_, call, request, reply);
  }
  grpc::ServerWriteReactor<Bytes>* Attend(Call* call, const Bytes* request) override {
    auto* reactor = new AttendCall(context_, attend_, call);  // deletes itself in OnDone
    reactor->Begin(request);
    return reactor;
  }
  grpc::ServerUnaryReactor* EstimateAttention(Call* call, const Bytes* request, Bytes* reply) override {
    return MakeCall<EstimateCall>(context_, estimate_, call, request, reply);
  }
  grpc::ServerUnaryReactor* ComputeAttention(Call* call, const Bytes* request, Bytes* reply) override {
    return MakeCall<ComputeAttentionCall>(context_, compute_, call, request, reply);
  }
  grpc::ServerUnaryReactor* Tokenize(Call* call, const Bytes* request, Bytes* reply) override {
    return MakeCall<TokenizeCall>(context_, tokenize_, call, request, reply);
  }
  grpc::ServerUnaryReactor* Detokenize(Call* call, const Bytes* request, Bytes* reply) override {
    return MakeCall<DetokenizeCall>(context_, detokenize_, call, request, reply);
  }
  grpc::ServerUnaryReactor* ListModels(Call* call, const Bytes* request, Bytes* reply) override {
    return MakeCall<ListModelsCall>(context_, list_models_, call, request, reply);
  }
  grpc::ServerUnaryReactor* GetModel(Call* call, const Bytes* request, Bytes* reply) override {
    return MakeCall<GetModelCall>(context_, get_model_, call, request, reply);
  }

  ServerContext& context_;
  const MethodMetrics& embed_ = Method("Embed");
  const MethodMetrics& embed_stream_ = Method("EmbedStream");
  const MethodMetrics& classify_ = Method("Classify");
  const MethodMetrics& rerank_ = Method("Rerank");
  const MethodMetrics& token_classify_ = Method("TokenClassify");
  const MethodMetrics& fill_mask_ = Method("FillMask");
  const MethodMetrics& attend_ = Method("Attend");
  const MethodMetrics& estimate_ = Method("EstimateAttention");
  const MethodMetrics& compute_ = Method("ComputeAttention");
  const MethodMetrics& tokenize_ = Method("Tokenize");
  const MethodMetrics& detokenize_ = Method("Detokenize");
  const MethodMetrics& list_models_ = Method("ListModels");
  const MethodMetrics& get_model_ = Method("GetModel");
};

}  // namespace

std::vector<std::unique_ptr<grpc::Service>> MakeServices(ServerContext& context) {
  // protobuf writes a line to standard error for each string that is not UTF-8: any client could fill the log.
  google::protobuf::SetLogHandler(nullptr);
  std::vector<std::unique_ptr<grpc::Service>> services;
  services.push_back(std::make_unique<AttndService>(context));
  services.push_back(MakeInferenceService(context));
  return services;
}

}  // namespace attnd
