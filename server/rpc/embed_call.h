// Embed: the unary call.
#ifndef ATTND_SERVER_RPC_EMBED_CALL_H_
#define ATTND_SERVER_RPC_EMBED_CALL_H_

#include <utility>

#include "server/rpc/embed_job.h"
#include "server/rpc/unary.h"

namespace attnd {

class EmbedCall : public UnaryCall<v1::EmbedRequest, v1::EmbedResponse> {
 public:
  using UnaryCall::UnaryCall;

 private:
  void Run() override {
    Tokenising([this] { Start(); });
  }
  void Start() {
    const v1::EmbedRequest request = std::move(request_);  // the texts are not kept while their tokens wait
    job_.Start(request, [this](const absl::Status& status) {
      job_.NameModel(monitor_);
      if (!status.ok()) return Fail(status);
      job_.Report(monitor_);
      SliceWriter writer;
      job_.Write(writer);
      Respond(writer.Finish());
    });
  }
  void OnCancel() override { job_.Cancel(); }

  EmbedJob job_{context_, origin_};
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_EMBED_CALL_H_
