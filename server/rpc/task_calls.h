// Classify, Rerank, TokenClassify, FillMask.
#ifndef ATTND_SERVER_RPC_TASK_CALLS_H_
#define ATTND_SERVER_RPC_TASK_CALLS_H_

#include "attnd/v1/tasks.pb.h"
#include "server/rpc/task_call.h"

namespace attnd {

class ClassifyCall : public TaskCall<v1::ClassifyRequest, v1::ClassifyResponse> {
 public:
  using TaskCall::TaskCall;

 private:
  absl::Status Prepare() override;
  absl::Status Collect() override;
};

class RerankCall : public TaskCall<v1::RerankRequest, v1::RerankResponse> {
 public:
  using TaskCall::TaskCall;

 private:
  absl::Status Prepare() override;
  absl::Status Collect() override;
};

class TokenClassifyCall : public TaskCall<v1::TokenClassifyRequest, v1::TokenClassifyResponse> {
 public:
  using TaskCall::TaskCall;

 private:
  absl::Status Prepare() override;
  absl::Status Collect() override;
};

class FillMaskCall : public TaskCall<v1::FillMaskRequest, v1::FillMaskResponse> {
 public:
  using TaskCall::TaskCall;

 private:
  absl::Status Prepare() override;
  absl::Status Collect() override;
  absl::Status FillOne(const TextSequence& sequence, v1::FilledText& text) const;
  int64_t candidates() const;  // of each mask
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_TASK_CALLS_H_
