#include "server/rpc/services.h"

#include <google/protobuf/stubs/logging.h>

#include "attnd/v1/attnd.grpc.pb.h"
#include "server/rpc/attend.h"
#include "server/rpc/attention_op_v1.h"
#include "server/rpc/chat_call.h"
#include "server/rpc/embed_call.h"
#include "server/rpc/embed_stream.h"
#include "server/rpc/estimate_call.h"
#include "server/rpc/generate_call.h"
#include "server/rpc/model_calls.h"
#include "server/rpc/oip_service.h"
#include "server/rpc/score_call.h"
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
    v1::Attnd::WithRawCallbackMethod_Generate<
    v1::Attnd::WithRawCallbackMethod_Chat<
    v1::Attnd::WithRawCallbackMethod_Score<
    v1::Attnd::WithRawCallbackMethod_Attend<
    v1::Attnd::WithRawCallbackMethod_EstimateAttention<
    v1::Attnd::WithRawCallbackMethod_ComputeAttention<
    v1::Attnd::WithRawCallbackMethod_Tokenize<
    v1::Attnd::WithRawCallbackMethod_Detokenize<
    v1::Attnd::WithRawCallbackMethod_ListModels<
    v1::Attnd::WithRawCallbackMethod_GetModel<v1::Attnd::Service>>>>>>>>>>>>>>>>;
// clang-format on

// attnd.v1.Attnd: each call is an object of its own.
class AttndService : public RawService {
 public:
  explicit AttndService(ServerContext& context) : context_(context) {}

 private:
  using Call = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;

  const MethodMetrics& Method(const char* name) const { return context_.metrics.Method("attnd.v1.Attnd", name); }

  ServerContext& context_;  // before the series of the methods, which come from it

// The unary methods differ in their names alone.
#define ATTND_UNARY(METHOD, CALL)                                                             \
  grpc::ServerUnaryReactor* METHOD(Call* call, const Bytes* request, Bytes* reply) override { \
    return MakeCall<CALL>(context_, METHOD##_, call, request, reply);                         \
  }                                                                                           \
  const MethodMetrics& METHOD##_ = Method(#METHOD)
  ATTND_UNARY(Embed, EmbedCall);
  ATTND_UNARY(Classify, ClassifyCall);
  ATTND_UNARY(Rerank, RerankCall);
  ATTND_UNARY(TokenClassify, TokenClassifyCall);
  ATTND_UNARY(FillMask, FillMaskCall);
  ATTND_UNARY(Score, ScoreCall);
  ATTND_UNARY(EstimateAttention, EstimateCall);
  ATTND_UNARY(ComputeAttention, ComputeAttentionCall);
  ATTND_UNARY(Tokenize, TokenizeCall);
  ATTND_UNARY(Detokenize, DetokenizeCall);
  ATTND_UNARY(ListModels, ListModelsCall);
  ATTND_UNARY(GetModel, GetModelCall);
#undef ATTND_UNARY

  grpc::ServerBidiReactor<Bytes, Bytes>* EmbedStream(Call* call) override {
    return EmbedStreamCall::Make(context_, embed_stream_, call);
  }

#define ATTND_SERVER_STREAM(METHOD, CALL)                                               \
  grpc::ServerWriteReactor<Bytes>* METHOD(Call* call, const Bytes* request) override {  \
    auto* reactor = new CALL(context_, METHOD##_, call); /* deletes itself in OnDone */ \
    reactor->Begin(request);                                                            \
    return reactor;                                                                     \
  }                                                                                     \
  const MethodMetrics& METHOD##_ = Method(#METHOD)
  ATTND_SERVER_STREAM(Generate, GenerateCall);
  ATTND_SERVER_STREAM(Chat, ChatCall);
  ATTND_SERVER_STREAM(Attend, AttendCall);
#undef ATTND_SERVER_STREAM

  const MethodMetrics& embed_stream_ = Method("EmbedStream");
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
