// Tokenize and Detokenize.
#ifndef ATTND_SERVER_RPC_TOKENIZE_CALLS_H_
#define ATTND_SERVER_RPC_TOKENIZE_CALLS_H_

#include "attnd/v1/attnd.pb.h"
#include "server/rpc/unary.h"

namespace attnd {

class TokenizeCall : public UnaryCall<v1::TokenizeRequest, v1::TokenizeResponse> {
 public:
  using UnaryCall::UnaryCall;

 private:
  void Run() override;
  void Answer();
  absl::Status Tokenize();

  TextJob job_{context_, origin_};
  Response response_;
};

class DetokenizeCall : public UnaryCall<v1::DetokenizeRequest, v1::DetokenizeResponse> {
 public:
  using UnaryCall::UnaryCall;

 private:
  void Run() override;
  void Answer();
  absl::Status Detokenize();

  TextJob job_{context_, origin_};
  Response response_;
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_TOKENIZE_CALLS_H_
