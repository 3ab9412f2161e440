// Score: how probable continuations of a text are.
#ifndef ATTND_SERVER_RPC_SCORE_CALL_H_
#define ATTND_SERVER_RPC_SCORE_CALL_H_

#include <vector>

#include "attnd/v1/attnd.pb.h"
#include "server/rpc/generation_job.h"
#include "server/rpc/unary.h"

namespace attnd {

// Each continuation is a prompt of its own, joined to the text; the text's whole pages are computed once.
class ScoreCall : public UnaryCall<v1::ScoreRequest, v1::ScoreResponse>, private GenerationSink {
 public:
  using UnaryCall::UnaryCall;

 private:
  void Run() override;
  void OnCancel() override { job_.Cancel(); }
  absl::Status Prepare();
  absl::Status CheckSizes() const;
  // Tokenises the text with continuation i.
  absl::Status Add(int i);
  void End(const absl::Status& status);

  void OnToken(int, const GeneratedToken&) override {}
  void OnEnd(int answer, GenerationSummary summary) override;
  void OnDone(const absl::Status& status) override { End(status); }

  GenerationJob job_{context_, origin_, *this};
  std::vector<GenerationRequest> requests_;
  Response response_;
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_SCORE_CALL_H_
