#include "server/rpc/embed_stream.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "server/ops/status.h"
#include "server/rpc/message.h"
#include "server/rpc/unary.h"

namespace attnd {

EmbedStreamCall* EmbedStreamCall::Make(ServerContext& context, const MethodMetrics& method,
                                       grpc::CallbackServerContext* call) {
  auto stream = std::make_shared<EmbedStreamCall>(context, method, call);
  stream->self_ = stream;
  stream->Begin();
  return stream.get();
}

EmbedStreamCall::EmbedStreamCall(ServerContext& context, const MethodMetrics& method, grpc::CallbackServerContext* call)
    : context_(context),
      call_(call),
      monitor_(context, method, call->peer()),
      origin_(OriginOf(*call, monitor_, context.limits)) {}

void EmbedStreamCall::Begin() {
  // An idle stream would hold the drain up for ever.
  drain_id_ = context_.drain.OnStart([stream = std::weak_ptr<EmbedStreamCall>(self_)] {
    if (const auto alive = stream.lock()) alive->Advance();
  });
  Advance();
}

bool EmbedStreamCall::WantsRead() const {
  return !reading_ && !no_more_reads_ && !broken_ && !context_.drain.started() && items_.size() < kMaxItems &&
         bytes_ < kMaxBytes;
}

void EmbedStreamCall::Advance() {
  absl::Status end;
  {
    absl::MutexLock lock(&mutex_);
    if (finished_) return;
    if (WantsRead()) {
      reading_ = true;
      StartRead(&read_);
    }
    while (broken_ && !items_.empty() && items_.front()->done) items_.pop_front();
    if (!writing_ && !broken_ && !items_.empty() && items_.front()->done) {
      const std::shared_ptr<Item> item = std::move(items_.front());
      items_.pop_front();
      bytes_ -= item->bytes;
      write_ = Reply(*item);
      writing_ = true;
      monitor_.Sent();
      StartWrite(&write_);
      if (WantsRead()) {
        reading_ = true;
        StartRead(&read_);
      }
    }
    const bool draining = context_.drain.started();
    // An outstanding read does not keep a draining or broken stream: gRPC ends it with the call.
    const bool over = items_.empty() && !writing_ && (broken_ || (draining ? true : no_more_reads_ && !reading_));
    if (!over) return;
    finished_ = true;
    if (broken_) {
      end = absl::CancelledError("the client went away");
    } else if (draining && !no_more_reads_) {
      end = absl::UnavailableError("the server is shutting down");
    }
    monitor_.Finish(end);
  }
  Finish(ToGrpcStatus(end, call_));
}

void EmbedStreamCall::OnReadDone(bool ok) {
  auto item = std::make_shared<Item>();
  v1::EmbedStreamRequest message;
  {
    absl::MutexLock lock(&mutex_);
    reading_ = false;
    if (!ok) no_more_reads_ = true;
    if (ok && !finished_ && !broken_) {
      monitor_.Received();
      item->bytes = read_.Length();
      bytes_ += item->bytes;
      items_.push_back(item);
    } else {
      ok = false;
    }
  }
  if (ok) {
    const absl::Status status = ParseMessage(&read_, message);
    item->id = message.id();
    if (status.ok()) {
      RunItem(item, message.request());
    } else {
      ItemDone(*item, status);
    }
  }
  read_.Clear();
  Advance();
}

void EmbedStreamCall::RunItem(const std::shared_ptr<Item>& item, const v1::EmbedRequest& request) {
  CallOrigin origin = origin_;
  origin.start = absl::Now();
  // A stream may live longer than any item may take.
  const absl::Time own = DeadlineOf(absl::InfiniteFuture(), origin.start, context_.limits);
  origin.deadline = call_->deadline() == std::chrono::system_clock::time_point::max()
                        ? own
                        : std::min(own, absl::FromChrono(call_->deadline()));
  EmbedJob* job = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    item->job = std::make_unique<EmbedJob>(context_, origin);
    job = item->job.get();
    if (broken_) job->Cancel();
  }
  job->Start(request, [stream = shared_from_this(), item](const absl::Status& status) {
    stream->ItemDone(*item, status);
    stream->Advance();
  });
}

void EmbedStreamCall::ItemDone(Item& item, const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  item.status = status;
  item.done = true;
}

grpc::ByteBuffer EmbedStreamCall::Reply(Item& item) {
  v1::EmbedStreamResponse reply;
  reply.set_id(item.id);
  if (item.job != nullptr) item.job->NameModel(monitor_);
  if (item.status.ok()) {
    item.job->Report(monitor_);
    reply.mutable_response()->Swap(&item.job->response());
  } else {
    monitor_.ItemFailed(item.status);
    *reply.mutable_error() = ToRpcStatus(item.status);
  }
  return SerializeMessage(reply);
}

void EmbedStreamCall::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    write_.Clear();
    if (!ok) broken_ = true;
  }
  if (!ok) CancelItems();
  Advance();
}

void EmbedStreamCall::OnCancel() {
  {
    absl::MutexLock lock(&mutex_);
    broken_ = true;
  }
  CancelItems();
  Advance();
}

void EmbedStreamCall::CancelItems() {
  std::vector<std::shared_ptr<Item>> items;
  {
    absl::MutexLock lock(&mutex_);
    for (const std::shared_ptr<Item>& item : items_) {
      if (item->job != nullptr) items.push_back(item);  // those without one look at broken_ when they get it
    }
  }
  for (const std::shared_ptr<Item>& item : items) item->job->Cancel();
}

void EmbedStreamCall::OnDone() {
  context_.drain.Forget(drain_id_);
  self_.reset();
}

}  // namespace attnd
