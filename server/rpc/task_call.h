// TaskCall: what the unary calls of models with a head share: one TextJob, its logits, its attention, its timings.
#ifndef ATTND_SERVER_RPC_TASK_CALL_H_
#define ATTND_SERVER_RPC_TASK_CALL_H_

#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "attnd/v1/tasks.pb.h"
#include "server/rpc/attention_spec.h"
#include "server/rpc/replies.h"
#include "server/rpc/task_check.h"
#include "server/rpc/texts_writer.h"
#include "server/rpc/unary.h"

namespace attnd {

// A subclass fills the job in Prepare, between Open and Close, and makes the answer of sequences' logits in Collect,
// on the worker. The request stays, since answers quote it.
template <typename RequestType, typename ResponseType>
class TaskCall : public UnaryCall<RequestType, ResponseType> {
 public:
  using UnaryCall<RequestType, ResponseType>::UnaryCall;

 protected:
  virtual absl::Status Prepare() = 0;
  virtual absl::Status Collect() = 0;

  // The checks before tokenising; `needs` of the model's head is checked, too.
  absl::Status Open(Task needs) {
    if (absl::Status status = job_.ResolveModel(this->request_.model()); !status.ok()) return status;
    if (absl::Status status = CheckTask(job_.served(), needs); !status.ok()) return WithField(status, "model");
    const auto truncate = ToTruncate(this->request_.truncate());
    if (!truncate.ok()) return truncate.status();
    truncate_ = *truncate;
    if (!this->request_.has_attention()) return absl::OkStatus();
    auto spec = ToAttentionSpec(this->request_.attention(), job_.config().layers, job_.config().heads);
    if (spec.ok()) spec_ = *std::move(spec);
    return spec.status();
  }
  // What follows tokenising: room for attention and logits.
  absl::Status Close() {
    if (spec_.has_value()) {
      const auto max_bytes = static_cast<int64_t>(this->request_.attention().max_bytes());
      if (absl::Status status = job_.PlanAttention(*spec_, max_bytes); !status.ok()) return status;
    }
    return job_.MakeLogits();
  }
  // Of the answer for one text; in the order of the answer.
  template <typename Text>
  void FillText(TextSequence& sequence, Text& text) {
    text.set_tokens(static_cast<uint32_t>(sequence.encoding.tokens()));
    text.set_truncated(sequence.encoding.truncated);
    if (sequence.plan == nullptr) return;
    map_data_.push_back(FillAttention(sequence, job_.served().tokenizer(), *text.mutable_attention()));
  }

  TextJob job_{this->context_, this->origin_};
  Truncate truncate_ = Truncate::kRefuse;
  ResponseType response_;

 private:
  void Run() final {
    this->Tokenising([this] {
      if (absl::Status status = Prepare(); !status.ok()) return End(status);
      job_.Start([this](const absl::Status& status) { End(status.ok() ? Collect() : status); });
    });
  }
  void OnCancel() final { job_.Cancel(); }

  void End(const absl::Status& status) {
    if (job_.has_model()) this->monitor_.SetModel(job_.served_model());
    if (!status.ok()) return this->Fail(status);
    response_.set_model(job_.served().name);
    response_.set_tokens(static_cast<uint64_t>(job_.tokens()));
    job_.EndRespond();
    FillTimings(job_.times(), job_.total(), *response_.mutable_timings());
    job_.Observe(this->monitor_);
    SliceWriter writer;
    if constexpr (std::is_same_v<ResponseType, v1::RerankResponse>) {
      constexpr int kField = v1::RerankResponse::kResultsFieldNumber;
      WriteTexts(response_, kField, *response_.mutable_results(), std::move(map_data_), writer);
    } else {
      constexpr int kField = ResponseType::kTextsFieldNumber;
      WriteTexts(response_, kField, *response_.mutable_texts(), std::move(map_data_), writer);
    }
    this->Respond(writer.Finish());
  }

  std::optional<AttentionSpec> spec_;
  std::vector<RecycledBuffer> map_data_;  // [texts of the answer], or empty where no attention was asked for
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_TASK_CALL_H_
