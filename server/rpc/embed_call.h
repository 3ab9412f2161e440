// Embed: the unary call.
#ifndef ATTND_SERVER_RPC_EMBED_CALL_H_
#define ATTND_SERVER_RPC_EMBED_CALL_H_

#include "server/rpc/embed_job.h"
#include "server/rpc/unary.h"

namespace attnd {

class EmbedCall : public UnaryCall<v1::EmbedRequest, v1::EmbedResponse> {
 public:
  using UnaryCall::UnaryCall;

 private:
  void Run() override {
    job_.Start(request_, [this](const absl::Status& status) {
      if (!status.ok()) return Fail(status);
      job_.Report(monitor_);
      Respond(job_.response());
    });
  }
  void OnCancel() override { job_.Cancel(); }

  EmbedJob job_{context_, origin_};
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_EMBED_CALL_H_
