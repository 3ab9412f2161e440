// ListModels and GetModel.
#ifndef ATTND_SERVER_RPC_MODEL_CALLS_H_
#define ATTND_SERVER_RPC_MODEL_CALLS_H_

#include "attnd/v1/attnd.pb.h"
#include "server/rpc/unary.h"

namespace attnd {

class ListModelsCall : public UnaryCall<v1::ListModelsRequest, v1::ListModelsResponse> {
 public:
  using UnaryCall::UnaryCall;

 private:
  void Run() override;
};

class GetModelCall : public UnaryCall<v1::GetModelRequest, v1::ModelInfo> {
 public:
  using UnaryCall::UnaryCall;

 private:
  void Run() override;
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_MODEL_CALLS_H_
