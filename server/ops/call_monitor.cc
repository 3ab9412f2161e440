#include "server/ops/call_monitor.h"

#include <utility>

#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "server/ops/status.h"

namespace attnd {
namespace {

// Codes that the access log alone tells of: the caller went away, or it is a question about what is there.
bool IsRefusal(const absl::Status& status) { return !status.ok() && status.code() != absl::StatusCode::kCancelled; }

void LogRefusal(ServerContext& context, const MethodMetrics& method, const absl::Status& status,
                const std::string& peer) {
  int64_t suppressed = 0;
  if (!context.log.Enabled(spdlog::level::warn) || !context.refusals.Allow(absl::Now(), suppressed)) return;
  std::vector<LogField> fields = {{"method", method.full_name},
                                  {"code", absl::StatusCodeToString(status.code())},
                                  {"reason", std::string(RejectionReason(status))},
                                  {"peer", peer}};
  if (suppressed > 0) fields.emplace_back("suppressed", suppressed);
  context.log.Warn("refused", fields);
}

}  // namespace

CallMonitor::CallMonitor(ServerContext& context, const MethodMetrics& method, std::string peer)
    : context_(context), method_(method), peer_(std::move(peer)), start_(absl::Now()) {
  context_.drain.CallBegins();
  method_.started->Increment();
}

CallMonitor::~CallMonitor() { context_.drain.CallEnds(); }

void CallMonitor::Observe(const StageTimes& times, int64_t texts, int64_t tokens) {
  context_.metrics.ObserveStages(method_, times);
  times_ += times;
  texts_ += texts;
  tokens_ += tokens;
}

void CallMonitor::ObserveAttention(absl::string_view layout, int64_t bytes, absl::Duration time) {
  context_.metrics.ObserveAttention(layout, bytes, time);
  attention_bytes_ += bytes;
}

void CallMonitor::ItemFailed(const absl::Status& status) {
  if (!IsRefusal(status)) return;
  context_.metrics.Rejected(RejectionReason(status));
  LogRefusal(context_, method_, status, peer_);
}

void CallMonitor::Finish(const absl::Status& status) {
  if (finished_) return;
  finished_ = true;
  const absl::Time now = absl::Now();
  const absl::Duration total = now - start_;
  method_.handled[static_cast<size_t>(status.code())]->Increment();
  method_.handling->Observe(absl::ToDoubleSeconds(total));
  if (!status.ok()) context_.metrics.Rejected(RejectionReason(status));
  if (model_ != nullptr) model_->counters->Add(status.ok(), total, times_, now);
  if (IsRefusal(status)) LogRefusal(context_, method_, status, peer_);
  if (!context_.access_log || !context_.log.Enabled(spdlog::level::info)) return;
  const auto ms = [](absl::Duration duration) { return absl::ToDoubleMilliseconds(duration); };
  context_.log.Info("call", {{"method", method_.full_name},
                             {"code", absl::StatusCodeToString(status.code())},
                             {"peer", peer_},
                             {"model", model_ == nullptr ? std::string("-") : model_->name},
                             {"texts", texts_},
                             {"tokens", tokens_},
                             {"attention_bytes", attention_bytes_},
                             {"total_ms", ms(total)},
                             {"validate_ms", ms(times_.validate)},
                             {"tokenise_ms", ms(times_.tokenise)},
                             {"queue_ms", ms(times_.queue)},
                             {"compute_ms", ms(times_.compute)},
                             {"respond_ms", ms(times_.respond)}});
}

uint64_t ConnectionKey(absl::string_view peer) { return absl::HashOf(peer); }

}  // namespace attnd
