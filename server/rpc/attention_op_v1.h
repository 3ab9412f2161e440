// attnd.v1.Attnd/ComputeAttention.
#ifndef ATTND_SERVER_RPC_ATTENTION_OP_V1_H_
#define ATTND_SERVER_RPC_ATTENTION_OP_V1_H_

#include <optional>

#include "attnd/v1/attnd.pb.h"
#include "server/rpc/attention_op.h"
#include "server/rpc/unary.h"

namespace attnd {

// Start it with MakeCall<ComputeAttentionCall>.
class ComputeAttentionCall : public UnaryCall<v1::ComputeAttentionRequest, v1::ComputeAttentionResponse> {
 public:
  using UnaryCall::UnaryCall;

 private:
  void Run() override;
  void OnCancel() override;
  absl::Status Prepare();
  void Answer();

  std::optional<AttentionOp> op_;
  v1::ComputeAttentionResponse response_;
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_ATTENTION_OP_V1_H_
