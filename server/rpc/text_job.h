// TextJob: the texts of one call on their way through a model: checked, tokenised, queued as one group, run, collected.
//
// Every call that runs a model uses it, whatever its protocol: attnd.v1 and the Open Inference Protocol differ only in
// how they fill a job and what they make of its results. The order is ResolveModel, Tokenise or TakeIds, PlanAttention
// where attention is wanted, outputs of the sequences, Start; then, in `done`, the results, EndRespond and the timings.
#ifndef ATTND_SERVER_RPC_TEXT_JOB_H_
#define ATTND_SERVER_RPC_TEXT_JOB_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/attention/recorder.h"
#include "core/base/aligned.h"
#include "core/engine/generation.h"
#include "core/text/tokenizer.h"
#include "server/batching/executor.h"
#include "server/ops/call_monitor.h"
#include "server/ops/server_context.h"

namespace attnd {

// Who asks, and until when.
struct CallOrigin {
  absl::Time start;         // when the request arrived: CallMonitor::start()
  absl::Time deadline;      // DeadlineOf
  uint64_t connection = 0;  // ConnectionKey(peer)
};
// `deadline` of a gRPC context (InfiniteFuture where there is none), or the server's default after `start`.
absl::Time DeadlineOf(absl::Time deadline, absl::Time start, absl::Duration default_deadline);

// One sequence of a job: its tokens, what is wanted of it, what came of it.
struct TextSequence {
  Encoding encoding;                          // with TakeIds: all tokens as of one text, none special
  std::shared_ptr<const AttentionPlan> plan;  // of PlanAttention, else null
  // Set by the caller before Start; what they point to must live until `done`. Null: not wanted.
  float* embedding = nullptr;    // [embedding_size]
  float* last_hidden = nullptr;  // [tokens, hidden_size]
  float* logits = nullptr;       // [LogitRows, ModelConfig::logit_columns()]: MakeLogits, or the caller's own room
  std::vector<int32_t> logit_positions;          // kFillMask: the tokens whose logits are wanted; empty: all
  AttentionSink* sink = nullptr;                 // instead of a plan: the caller's own
  std::optional<bool> normalize;                 // overrides the model's configuration
  HiddenPooling pooling = HiddenPooling::kLast;  // of a decoder's embedding
  AttentionResult attention;                     // of `plan`, valid in `done`
};

// Thread rules: one thread at a time, but for Cancel. The job must live until `done` has been called; `done` may
// destroy it.
class TextJob {
 public:
  using Done = absl::AnyInvocable<void(const absl::Status&) &&>;

  TextJob(ServerContext& context, const CallOrigin& origin);
  ~TextJob();
  TextJob(const TextJob&) = delete;
  TextJob& operator=(const TextJob&) = delete;

  // `name` may be empty where one model is served. kNotFound, or kInvalidArgument naming `field`; kFailedPrecondition:
  // a decoder.
  absl::Status ResolveModel(absl::string_view name, absl::string_view field = "model");
  // The same where a decoder may be called, too: it reads the texts as prompts, and gives embeddings. Then config() is
  // not to be asked.
  absl::Status ResolveAnyModel(absl::string_view name, absl::string_view field = "model");
  // The same for a model that the caller has found already.
  void UseModel(ServedModelPtr model);

  // What follows takes texts of `tokens` at most, where the model would take more.
  void LimitTokens(int tokens) { max_tokens_ = tokens; }

  // Checks and tokenises `texts`: their number, their bytes, UTF-8, their tokens. Errors name "field[i]" and the limit.
  // Ends early when the deadline passes. The stages validate and tokenise are measured here. Each text is taken with
  // `prompt` before it.
  absl::Status Tokenise(absl::Span<const absl::string_view> texts, Truncate truncate, absl::string_view field,
                        absl::string_view prompt = "");
  // The same for a call of one text: errors name "field".
  absl::Status TokeniseOne(absl::string_view text, Truncate truncate, absl::string_view field);
  // Pairs of texts, as the model's template joins them: one of `firsts` for all of `seconds`, or one each. Errors name
  // "first_field" (with one), "first_field[i]" or "second_field[i]".
  absl::Status TokenisePairs(absl::Span<const absl::string_view> firsts, absl::string_view first_field,
                             absl::Span<const absl::string_view> seconds, absl::string_view second_field,
                             Truncate truncate);
  // Tokenises by `options` for its own sake: the sequences may be longer than the model takes, so do not Start them.
  absl::Status TokeniseOnly(absl::Span<const absl::string_view> texts, const EncodeOptions& options,
                            absl::string_view field, absl::string_view prompt = "");
  // Sequences that come as ids.
  absl::Status TakeIds(std::vector<std::vector<int32_t>> ids, absl::string_view field);

  // Plans the attention of every sequence. kResourceExhausted when all together exceed the lower of `max_bytes` (0:
  // none) and the server's limit, naming the estimate, or what calls in flight leave of the server's memory for it;
  // that is held while the job lives. `field` is where the specification stands in the request.
  absl::Status PlanAttention(const AttentionSpec& spec, int64_t max_bytes, absl::string_view field = "attention");

  // Holds `bytes` more of the server's memory for attention, scores and tokens while the job lives. kResourceExhausted:
  // calls in flight have it.
  absl::Status HoldMemory(int64_t bytes);
  // The same for a part of the answer that may be too much for one call by itself; `what` it is: "scores".
  // kResourceExhausted where it needs more than the server allows, as attention.
  absl::Status HoldPart(int64_t bytes, absl::string_view what);

  // Makes room for the head's logits of all sequences, after their logit_positions have been set: valid until the job
  // goes. Errors as those of HoldPart.
  absl::Status MakeLogits();
  int64_t LogitRows(const TextSequence& sequence) const;

  std::vector<TextSequence>& sequences() { return sequences_; }
  int64_t tokens() const { return tokens_; }            // of all sequences
  bool has_model() const { return model_ != nullptr; }  // what follows needs it
  const ServedModel& served() const { return *model_; }
  const ServedModelPtr& served_model() const { return model_; }
  const ModelConfig& config() const { return model_->model->config; }  // of an encoder

  // Queues all sequences or none, and calls `done` exactly once: at once where the call is refused, else from the
  // worker that finished the last sequence, or where the queue dropped it. Not OK: the first error of any sequence.
  // `done` must not block.
  void Start(Done done);
  // Nobody waits any more: what waits is dropped, what runs may stop. Any thread, any time while the job lives; also
  // before Start, which then ends with kCancelled. May call `done` before it returns.
  void Cancel();
  // Not OK when nobody waits any more: for work in `done` that takes long.
  absl::Status CheckWanted() const { return ticket_.Abandonment(context_.batcher.Now()); }

  // The stages so far. After EndRespond they are the figures of the response, the metrics and the access log.
  const StageTimes& times() const { return times_; }
  void EndValidate() { EndStage(times_.validate); }  // adds the time since the last stage's end
  void EndTokenise() { EndStage(times_.tokenise); }
  void EndRespond() { EndStage(times_.respond); }
  absl::Duration total() const { return mark_ - origin_.start; }  // until the last stage's end

  // For ObserveAttention, in `done`: 0 and empty where there was none.
  int64_t attention_bytes() const { return attention_bytes_; }       // maps and statistics, of all sequences
  absl::string_view attention_layout() const;                        // "dense", "top_k", "statistics", or ""
  absl::Duration attention_time() const { return attention_time_; }  // finishing the recorders
  // Tells `monitor` of the stages, the texts and tokens, and the attention.
  void Observe(CallMonitor& monitor) const;

 private:
  class Item;
  class Reading;
  struct Span {
    absl::Time started = absl::InfiniteFuture(), finished = absl::InfiniteFuture();  // InfiniteFuture: it did not run
    absl::Duration record = absl::ZeroDuration();                                    // finishing its recorder
  };
  void EndStage(absl::Duration& stage);
  EncodeOptions ModelOptions(Truncate truncate) const;
  absl::Status CheckCount(size_t texts, absl::string_view field) const;
  absl::Status Encode(absl::string_view text, const absl::string_view* pair, const EncodeOptions& options);
  absl::Status CheckBytes(size_t bytes) const;
  void Add(Encoding encoding);
  absl::Status CheckTokens(const TextSequence& sequence) const;
  absl::Status CheckPrompt(const TextSequence& sequence) const;
  absl::Status SubmitToQueue();
  absl::Status SubmitToDecoder();
  void SequenceFinished(const Span& span, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void Complete() ABSL_LOCKS_EXCLUDED(mutex_);

  ServerContext& context_;
  const CallOrigin origin_;
  absl::Time mark_;  // end of the last stage
  StageTimes times_;
  ServedModelPtr model_;
  int max_tokens_ = 0;  // of a text
  std::string field_;   // of the request that the sequences came from: "texts"
  std::vector<TextSequence> sequences_;
  int64_t tokens_ = 0;
  int64_t attention_bytes_ = 0;
  MemoryBudget::Lease memory_;
  AlignedBuffer<float> logits_;                           // untouched until the model runs
  absl::Duration attention_time_ = absl::ZeroDuration();  // written under mutex_ until the job is done

  CallTicket ticket_;
  std::atomic<bool> submitted_{false};  // or about to be
  std::vector<std::unique_ptr<Item>> items_;
  std::atomic<int64_t> pending_{0};  // sequences not yet finished
  Done done_;
  absl::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);  // the first error
  absl::Time first_start_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  absl::Time last_end_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_TEXT_JOB_H_
