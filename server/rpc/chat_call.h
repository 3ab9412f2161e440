// Chat: Generate of a conversation, as the model's own template renders it.
#ifndef ATTND_SERVER_RPC_CHAT_CALL_H_
#define ATTND_SERVER_RPC_CHAT_CALL_H_

#include "server/rpc/generate_call.h"

namespace attnd {

class ChatCall : public GenerateCallBase {
 public:
  using GenerateCallBase::GenerateCallBase;

 private:
  absl::Status TakeRequest(grpc::ByteBuffer* bytes) override;
  const v1::GenerationOptions& options() const override { return request_.options(); }
  const v1::GenerationAttention* attention() const override {
    return request_.has_attention() ? &request_.attention() : nullptr;
  }
  const char* prompt_field() const override { return "messages"; }

  v1::ChatRequest request_;
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_CHAT_CALL_H_
