// inference.GRPCInferenceService/ModelStreamInfer.
#ifndef ATTND_SERVER_RPC_OIP_STREAM_H_
#define ATTND_SERVER_RPC_OIP_STREAM_H_

#include <memory>

#include "server/rpc/ordered_stream.h"

namespace attnd {

// Start it with OrderedStream::Make<OipStream>.
class OipStream : public OrderedStream {
 public:
  OipStream(ServerContext& context, const MethodMetrics& method, grpc::CallbackServerContext* call)
      : OrderedStream(context, method, call) {}

 private:
  std::unique_ptr<StreamJob> MakeJob(grpc::ByteBuffer* request, const CallOrigin& origin) override;
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_OIP_STREAM_H_
