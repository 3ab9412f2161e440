#include "server/rpc/attend.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/ops/status.h"
#include "server/rpc/attention_spec.h"
#include "server/rpc/message.h"
#include "server/rpc/replies.h"
#include "server/rpc/unary.h"

namespace attnd {
namespace {

constexpr uint32_t kDefaultChunkBytes = 65536;
constexpr uint32_t kMinChunkBytes = 1024;
constexpr uint32_t kMaxChunkBytes = 1048576;

}  // namespace

AttendCall::AttendCall(ServerContext& context, const MethodMetrics& method, grpc::CallbackServerContext* call)
    : context_(context),
      call_(call),
      monitor_(context, method, call->peer()),
      job_(context, OriginOf(*call, monitor_, context.limits.default_deadline)) {}

void AttendCall::Begin(const grpc::ByteBuffer* bytes) {
  monitor_.Received();
  if (context_.drain.started()) return End(absl::UnavailableError("the server is shutting down"));
  v1::AttendRequest request;
  grpc::ByteBuffer copy(*bytes);  // shares the slices
  absl::Status status = ParseMessage(&copy, request);
  if (status.ok()) status = Prepare(request);
  if (!status.ok()) return End(status);
  job_.Start([this](const absl::Status& ran) { Ran(ran); });
}

absl::Status AttendCall::Prepare(const v1::AttendRequest& request) {
  if (absl::Status status = job_.ResolveAnyModel(request.model()); !status.ok()) return status;
  const auto truncate = ToTruncate(request.truncate());
  if (!truncate.ok()) return truncate.status();
  chunk_bytes_ = request.chunk_bytes() == 0 ? kDefaultChunkBytes : request.chunk_bytes();
  if (chunk_bytes_ < kMinChunkBytes || chunk_bytes_ > kMaxChunkBytes) {
    return FieldError("chunk_bytes",
                      absl::StrCat(chunk_bytes_, ": at least ", kMinChunkBytes, ", at most ", kMaxChunkBytes));
  }
  const auto spec = ToAttentionSpec(request.attention(), job_.served().shape().layers, job_.served().shape().heads);
  if (!spec.ok()) return spec.status();
  if (absl::Status status = job_.TokeniseOne(request.text(), *truncate, "text"); !status.ok()) return status;
  return job_.PlanAttention(*spec, static_cast<int64_t>(request.attention().max_bytes()));
}

void AttendCall::Ran(const absl::Status& status) {
  if (!status.ok()) return End(status);
  result_ = std::move(job_.sequences()[0].attention);
  WriteHeader();
}

void AttendCall::WriteHeader() {
  const TextSequence& sequence = job_.sequences()[0];
  v1::AttendFrame frame;
  v1::AttendHeader& header = *frame.mutable_header();
  header.set_model(job_.served().name);
  FillTokens(sequence.encoding, job_.served().tokenizer(), *header.mutable_tokens());
  header.set_truncated(sequence.encoding.truncated);
  FillAttentionHeader(*sequence.plan, *header.mutable_attention());
  header.set_chunk_bytes(static_cast<uint32_t>(chunk_bytes_));
  // How fast the client reads is not the server's time: the last stage ends here.
  job_.EndRespond();
  monitor_.Observe(job_.times(), 1, job_.tokens());
  monitor_.ObserveAttention(job_.attention_layout(), job_.attention_bytes(), job_.attention_time());
  next_ = result_.data.size() > 0 ? Next::kData : Next::kTrailer;
  Write(SerializeMessage(frame));
}

void AttendCall::WriteData() {
  const int64_t size = static_cast<int64_t>(result_.data.size());
  const int64_t bytes = std::min(chunk_bytes_, size - written_);
  v1::AttendFrame frame;
  frame.mutable_data()->set_offset(static_cast<uint64_t>(written_));
  frame.mutable_data()->set_data(result_.data.data() + written_, static_cast<size_t>(bytes));
  written_ += bytes;
  if (written_ == size) {
    next_ = Next::kTrailer;
    result_.data = {};
  }
  Write(SerializeMessage(frame));
}

void AttendCall::WriteTrailer() {
  const AttentionPlan& plan = *job_.sequences()[0].plan;
  v1::AttendFrame frame;
  if (plan.spec().statistics != 0) {
    FillStatistics(plan, std::move(result_.statistics), *frame.mutable_trailer()->mutable_statistics());
  }
  FillTimings(job_.times(), job_.total(), *frame.mutable_trailer()->mutable_timings());
  next_ = Next::kEnd;
  Write(SerializeMessage(frame));
}

void AttendCall::Write(grpc::ByteBuffer frame) {
  frame_ = std::move(frame);
  monitor_.Sent();
  StartWrite(&frame_);
}

void AttendCall::OnWriteDone(bool ok) {
  if (!ok) return End(absl::CancelledError("the client went away"));
  switch (next_) {
    case Next::kData:
      return WriteData();
    case Next::kTrailer:
      return WriteTrailer();
    case Next::kEnd:
      return End(absl::OkStatus());
  }
}

void AttendCall::End(const absl::Status& status) {
  if (job_.has_model()) monitor_.SetModel(job_.served_model());
  monitor_.Finish(status);
  Finish(ToGrpcStatus(status, call_));
}

}  // namespace attnd
