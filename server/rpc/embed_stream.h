// attnd.v1.Attnd/EmbedStream: Embed without end, pipelined and in order.
#ifndef ATTND_SERVER_RPC_EMBED_STREAM_H_
#define ATTND_SERVER_RPC_EMBED_STREAM_H_

#include <memory>

#include "server/rpc/ordered_stream.h"

namespace attnd {

class EmbedStreamCall : public OrderedStream {
 public:
  // What the raw callback method returns.
  static OrderedStream* Make(ServerContext& context, const MethodMetrics& method, grpc::CallbackServerContext* call) {
    return OrderedStream::Make<EmbedStreamCall>(context, method, call);
  }

  EmbedStreamCall(ServerContext& context, const MethodMetrics& method, grpc::CallbackServerContext* call)
      : OrderedStream(context, method, call) {}

 private:
  std::unique_ptr<StreamJob> MakeJob(grpc::ByteBuffer* request, const CallOrigin& origin) override;
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_EMBED_STREAM_H_
