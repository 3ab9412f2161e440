// EstimateAttention: what Attend would send, without running the model.
#ifndef ATTND_SERVER_RPC_ESTIMATE_CALL_H_
#define ATTND_SERVER_RPC_ESTIMATE_CALL_H_

#include "attnd/v1/attnd.pb.h"
#include "server/rpc/unary.h"

namespace attnd {

class EstimateCall : public UnaryCall<v1::EstimateAttentionRequest, v1::EstimateAttentionResponse> {
 public:
  using UnaryCall::UnaryCall;

 private:
  void Run() override;
  absl::Status Estimate();
  // The tokens of the request's text, or as many as it names. The tokens are `encoding`'s.
  absl::Status Tokens(Encoding& encoding);

  TextJob job_{context_, origin_};
  Response response_;
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_ESTIMATE_CALL_H_
