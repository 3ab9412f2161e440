// GenerationJob: the answers of one call on their way through a decoder.
//
// Every call that generates uses it, whatever its protocol. The order is ResolveModel, TakeText or TakeIds, Start; then
// the sink hears what comes.
#ifndef ATTND_SERVER_RPC_GENERATION_JOB_H_
#define ATTND_SERVER_RPC_GENERATION_JOB_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/engine/generation.h"
#include "core/text/tokenizer.h"
#include "server/ops/call_monitor.h"
#include "server/ops/server_context.h"
#include "server/rpc/text_job.h"

namespace attnd {

// What a protocol does with the answers. Called by the model's thread, one call at a time, between steps: must not
// block.
class GenerationSink {
 public:
  virtual ~GenerationSink() = default;
  // Whether it takes more tokens now: while it does not, nothing is computed for the call, and others go on.
  // GenerationJob::Wake tells that it does again.
  virtual bool Ready() { return true; }
  virtual void OnStart() {}  // the first step of the call begins
  virtual void OnToken(int answer, const GeneratedToken& token) = 0;
  // An answer came to its end: kStop or kLength.
  virtual void OnEnd(int answer, GenerationSummary summary) = 0;
  // The last word: may destroy the job. Not OK: the call has failed, and answers may be without their end.
  virtual void OnDone(const absl::Status& status) = 0;
};

// Thread rules: one thread at a time, but for Cancel and Wake. The job must live until OnDone, once Start returned OK.
class GenerationJob {
 public:
  GenerationJob(ServerContext& context, const CallOrigin& origin, GenerationSink& sink);
  ~GenerationJob();
  GenerationJob(const GenerationJob&) = delete;
  GenerationJob& operator=(const GenerationJob&) = delete;

  // `name` may be empty where one model is served. kNotFound, kInvalidArgument naming `field`; kFailedPrecondition: the
  // model does not generate.
  absl::Status ResolveModel(absl::string_view name, absl::string_view field = "model");
  // The same for a model that the caller has found already, a decoder.
  void UseModel(ServedModelPtr model);

  // The prompt: a text, whose bytes are bounded, or ids. Errors name `field`. How long it may be is Check's to say.
  absl::Status TakeText(absl::string_view text, bool add_special_tokens, absl::string_view field);
  absl::Status TakeIds(absl::Span<const int32_t> ids);
  // Tokens of a text beside the prompt.
  absl::StatusOr<Encoding> Tokenise(absl::string_view text, bool add_special_tokens, absl::string_view field);

  // Whether the model can do it. kInvalidArgument: the message begins with the core's name of the field.
  absl::Status Check(const GenerationRequest& request) const { return model_->decoder->generator().Check(request); }

  // Submits all or none; each has passed Check. With `after_first` their prompts begin alike, and the first one's pages
  // are shared. When it returns OK the job, and whatever OnDone destroys, is not to be touched any more: all may be
  // over. Else the sink hears nothing. kResourceExhausted: too many wait; kInvalidArgument: more than ever may, which
  // `field` of the request asks for.
  absl::Status Start(std::vector<GenerationRequest> requests, bool after_first, absl::string_view field);
  // Nobody waits any more: the pages are free after the step that runs. Any thread, any time while the job lives; also
  // before Start, which then ends with kCancelled.
  void Cancel();
  // The sink is ready again. Any thread, while the job lives.
  void Wake();

  // Holds `bytes` more of the server's memory for attention while the job lives. kResourceExhausted: calls in flight
  // have it.
  absl::Status HoldMemory(int64_t bytes);

  const Encoding& prompt() const { return prompt_; }
  bool has_model() const { return model_ != nullptr; }  // what follows needs it
  const ServedModelPtr& served_model() const { return model_; }
  const ServedModel& served() const { return *model_; }
  const DecoderModel& decoder() const { return model_->decoder->model(); }

  const StageTimes& times() const { return times_; }
  void EndValidate() { EndStage(times_.validate); }  // adds the time since the last stage's end
  void EndRespond() { EndStage(times_.respond); }
  absl::Duration total() const { return mark_ - origin_.start; }       // until the last stage's end
  absl::Duration time_to_first_token() const { return first_token_; }  // zero: there was none
  int64_t prompt_tokens() const { return prompt_tokens_; }             // computed, of answers that came to their end
  int64_t generated_tokens() const { return generated_tokens_; }       // of all answers that came to their end
  void Observe(CallMonitor& monitor) const { monitor.Observe(times_, texts_, prompt_tokens_ + generated_tokens_); }

 private:
  class Answer;
  void EndStage(absl::Duration& stage);
  bool Wanted() const;
  absl::Status Abandonment() const;
  void OnStart();
  void OnToken(Answer& answer, const GeneratedToken& token);
  void OnEnd(const Answer& answer, GenerationSummary summary);

  ServerContext& context_;
  const CallOrigin origin_;
  GenerationSink& sink_;
  absl::Time mark_;  // end of the last stage
  StageTimes times_;
  ServedModelPtr model_;
  const GenerationMetrics* metrics_ = nullptr;
  Encoding prompt_;
  MemoryBudget::Lease memory_;
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> submitted_{false};  // or about to be

  // The model's thread's once submitted.
  std::vector<std::shared_ptr<Answer>> answers_;
  size_t ended_ = 0;
  bool started_ = false;
  absl::Status status_;  // the first error
  absl::Duration first_token_ = absl::ZeroDuration();
  int64_t texts_ = 0, prompt_tokens_ = 0, generated_tokens_ = 0;
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_GENERATION_JOB_H_
