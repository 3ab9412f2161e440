#include "server/rpc/text_job.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/ops/status.h"
#include "server/rpc/attention_memory.h"
#include "server/rpc/attention_spec.h"
#include "server/rpc/task_check.h"

namespace attnd {

absl::Time DeadlineOf(absl::Time deadline, absl::Time start, absl::Duration default_deadline) {
  return deadline == absl::InfiniteFuture() ? start + default_deadline : deadline;
}

class TextJob::Item : public EncodeItem {
 public:
  Item(TextJob& job, TextSequence& sequence) : EncodeItem(sequence.encoding.tokens()), job_(job), sequence_(sequence) {}

  // The recorder's memory is taken here, so that only texts that run hold any.
  SequenceJob Job() override {
    SequenceJob job;
    job.ids = sequence_.encoding.ids;
    job.type_ids = sequence_.encoding.type_ids;
    job.sink = sequence_.sink;
    if (sequence_.plan != nullptr) {
      recorder_ = std::make_unique<AttentionRecorder>(sequence_.plan);
      job.sink = recorder_.get();
    }
    job.embedding = sequence_.embedding;
    job.last_hidden = sequence_.last_hidden;
    job.logits = sequence_.logits;
    job.logit_positions = sequence_.logit_positions;
    job.normalize = sequence_.normalize;
    return job;
  }

  void Finish(const absl::Status& status) override {
    absl::Status result = status;
    absl::Duration record_time = absl::ZeroDuration();
    if (recorder_ != nullptr && status.ok()) {
      const absl::Time begin = job_.context_.batcher.Now();
      auto attention = recorder_->Finish();
      if (attention.ok()) sequence_.attention = *std::move(attention);
      result = attention.status();
      record_time = job_.context_.batcher.Now() - begin;
    }
    recorder_.reset();
    job_.SequenceFinished({started_at, finished_at, record_time}, result);
  }

 private:
  TextJob& job_;
  TextSequence& sequence_;
  std::unique_ptr<AttentionRecorder> recorder_;
};

TextJob::TextJob(ServerContext& context, const CallOrigin& origin)
    : context_(context), origin_(origin), mark_(origin.start) {
  ticket_.connection = origin.connection;
  ticket_.deadline = origin.deadline;
}

TextJob::~TextJob() = default;

void TextJob::EndStage(absl::Duration& stage) {
  const absl::Time now = std::max(context_.batcher.Now(), mark_);  // the wall clock may step back
  stage += now - mark_;
  mark_ = now;
}

absl::Status TextJob::ResolveModel(absl::string_view name, absl::string_view field) {
  if (absl::Status status = ResolveAnyModel(name, field); !status.ok()) return status;
  return WithField(CheckEncoder(*model_), field);
}

absl::Status TextJob::ResolveAnyModel(absl::string_view name, absl::string_view field) {
  auto model = context_.models.Resolve(name);
  if (!model.ok()) return WithField(model.status(), field);
  UseModel(*std::move(model));
  return absl::OkStatus();
}

void TextJob::UseModel(ServedModelPtr model) {
  model_ = std::move(model);
  max_tokens_ = model_->shape().max_tokens;
  ticket_.queue = model_->queue.get();
}

absl::Status TextJob::PlanAttention(const AttentionSpec& spec, int64_t max_bytes, absl::string_view field) {
  const bool callers = max_bytes > 0 && max_bytes < context_.limits.max_attention_bytes;
  const int64_t cap = callers ? max_bytes : context_.limits.max_attention_bytes;
  const ModelShape shape = model_->shape();
  int64_t total = 0;
  for (TextSequence& sequence : sequences_) {
    const Encoding& encoding = sequence.encoding;
    auto plan = AttentionPlan::Make(spec,
                                    {.layers = shape.layers,
                                     .heads = shape.heads,
                                     .tokens = encoding.tokens(),
                                     .special = encoding.special,
                                     .word_ids = encoding.word_ids,
                                     .ids = encoding.ids},
                                    sequences_.size() == 1 ? cap : kNoAttentionByteCap);
    if (plan.status().code() == absl::StatusCode::kResourceExhausted) return WithReason(plan.status(), "attention_cap");
    if (!plan.ok()) return AttentionError(plan.status(), field);
    sequence.plan = *std::move(plan);
    total += sequence.plan->sizes().total();
    attention_bytes_ += sequence.plan->sizes().data + sequence.plan->sizes().statistics;
  }
  EndValidate();
  if (total <= cap) return HoldMemory(total);
  return WithReason(absl::ResourceExhaustedError(absl::StrCat(
                        field, ": the attention of ", sequences_.size(), " texts needs ", total,
                        " bytes, the limit is ", cap, " (", callers ? "max_bytes" : "the server's max_attention_bytes",
                        "); send fewer texts a call or select fewer layers or heads")),
                    "attention_cap");
}

absl::Status TextJob::HoldMemory(int64_t bytes) {
  return HoldAttentionMemory(context_.attention_memory, bytes, memory_);
}

absl::Status TextJob::HoldPart(int64_t bytes, absl::string_view what) {
  const int64_t limit = context_.limits.max_attention_bytes;
  if (bytes <= limit) return HoldMemory(bytes);
  return WithReason(absl::ResourceExhaustedError(absl::StrCat("the ", what, " of ", sequences_.size(), " texts need ",
                                                              bytes, " bytes, the limit is ", limit,
                                                              " (the server's max_attention_bytes); send fewer")),
                    "attention_cap");
}

int64_t TextJob::LogitRows(const TextSequence& sequence) const {
  if (config().task == Task::kClassify) return 1;
  const size_t chosen = config().task == Task::kFillMask ? sequence.logit_positions.size() : 0;
  return chosen > 0 ? static_cast<int64_t>(chosen) : sequence.encoding.tokens();
}

absl::Status TextJob::MakeLogits() {
  const int64_t columns = config().logit_columns();
  int64_t rows = 0;
  for (const TextSequence& sequence : sequences_) rows += LogitRows(sequence);
  const int64_t bytes = rows * columns * int64_t{sizeof(float)};
  if (absl::Status status = HoldPart(bytes, "scores"); !status.ok()) return status;
  logits_.Reserve(static_cast<size_t>(rows * columns));
  float* at = logits_.data();
  for (TextSequence& sequence : sequences_) {
    sequence.logits = at;
    at += LogitRows(sequence) * columns;
  }
  return absl::OkStatus();
}

void TextJob::Observe(CallMonitor& monitor) const {
  monitor.Observe(times_, static_cast<int64_t>(sequences_.size()), tokens_);
  if (!attention_layout().empty()) monitor.ObserveAttention(attention_layout(), attention_bytes_, attention_time_);
}

absl::string_view TextJob::attention_layout() const {
  const AttentionPlan* plan = sequences_.empty() ? nullptr : sequences_[0].plan.get();
  if (plan == nullptr) return "";
  if (!plan->spec().maps) return "statistics";
  return plan->spec().layout == AttentionLayout::kTopK ? "top_k" : "dense";
}

void TextJob::Start(Done done) {
  submitted_.store(true);  // before the look at `cancelled`: Cancel does both the other way round
  if (ticket_.cancelled.load()) {
    return std::move(done)(absl::CancelledError("the call was cancelled"));
  }
  EndValidate();
  done_ = std::move(done);
  pending_.store(static_cast<int64_t>(sequences_.size()), std::memory_order_relaxed);
  const absl::Status status = model_->is_decoder() ? SubmitToDecoder() : SubmitToQueue();
  // On success the call may be over by now: nothing of it may be touched.
  if (!status.ok()) std::exchange(done_, nullptr)(SubmitError(status, field_));
}

absl::Status TextJob::SubmitToQueue() {
  std::vector<QueueItem*> items;
  items.reserve(sequences_.size());
  items_.reserve(sequences_.size());
  for (TextSequence& sequence : sequences_) {
    items_.push_back(std::make_unique<Item>(*this, sequence));
    items.push_back(items_.back().get());
  }
  return context_.batcher.Submit(ticket_, items);
}

void TextJob::Cancel() {
  // Before Start the ticket belongs to the thread that fills the job: it is only marked.
  ticket_.cancelled.store(true);
  if (!submitted_.load()) return;
  if (model_->is_decoder()) return model_->decoder->generator().Wake();
  context_.batcher.Cancel(ticket_);
}

void TextJob::SequenceFinished(const Span& span, const absl::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    status_.Update(status);
    if (span.started != absl::InfiniteFuture() && span.finished != absl::InfiniteFuture()) {
      first_start_ = std::min(first_start_, span.started);
      last_end_ = std::max(last_end_, span.finished);
    }
    attention_time_ += span.record;
  }
  // After this the job may be gone, unless it was the last one.
  if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) Complete();
}

void TextJob::Complete() {
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    status = status_;
    const absl::Time end = last_end_ == absl::InfinitePast() ? context_.batcher.Now() : last_end_;
    const absl::Time start = std::max(mark_, std::min(first_start_, end));
    times_.queue = start - mark_;
    mark_ = std::max(start, end);
    times_.compute = mark_ - start;
  }
  std::exchange(done_, nullptr)(status);
}

}  // namespace attnd
