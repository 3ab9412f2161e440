#include "server/rpc/ordered_stream.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "server/ops/status.h"
#include "server/rpc/unary.h"

namespace attnd {

OrderedStream::OrderedStream(ServerContext& context, const MethodMetrics& method, grpc::CallbackServerContext* call)
    : context_(context),
      call_(call),
      monitor_(context, method, call->peer()),
      origin_(OriginOf(*call, monitor_, context.limits.default_deadline)) {}

void OrderedStream::Begin(std::shared_ptr<OrderedStream> self) {
  self_ = std::move(self);
  // An idle stream would hold the drain up for ever.
  drain_id_ = context_.drain.OnStart([stream = std::weak_ptr<OrderedStream>(self_)] {
    if (const auto alive = stream.lock()) alive->Advance();
  });
  Advance();
}

void OrderedStream::ReadIfWanted() {
  if (reading_ || no_more_reads_ || broken_ || context_.drain.started()) return;
  if (items_.size() >= kMaxItems || bytes_ >= kMaxBytes) return;
  reading_ = true;
  StartRead(&read_);
}

bool OrderedStream::IsOver() const {
  if (!items_.empty() || writing_ != nullptr || writing_part_) return false;
  // An outstanding read does not keep a draining or broken stream: gRPC ends it with the call.
  return broken_ || context_.drain.started() || (no_more_reads_ && !reading_);
}

void OrderedStream::Advance() {
  absl::Status end;
  {
    absl::MutexLock lock(&mutex_);
    if (finished_) return;
    ReadIfWanted();
    while (broken_ && !items_.empty() && items_.front()->done) items_.pop_front();
    const bool may_write = writing_ == nullptr && !writing_part_ && !broken_ && !items_.empty();
    if (may_write && items_.front()->job != nullptr && !items_.front()->done &&
        items_.front()->job->TakePart(&write_)) {
      writing_part_ = true;
      monitor_.Sent();
      StartWrite(&write_);
    } else if (may_write && items_.front()->done) {
      writing_ = std::move(items_.front());
      items_.pop_front();
      bytes_ -= writing_->bytes;
      write_ = writing_->job->Reply(writing_->status, monitor_);
      monitor_.Sent();
      StartWrite(&write_);
      ReadIfWanted();
    }
    if (!IsOver()) return;
    finished_ = true;
    if (broken_) {
      end = absl::CancelledError("the client went away");
    } else if (context_.drain.started() && !no_more_reads_) {
      end = absl::UnavailableError("the server is shutting down");
    }
    monitor_.Finish(end);
  }
  Finish(ToGrpcStatus(end, call_));
}

void OrderedStream::OnReadDone(bool ok) {
  std::shared_ptr<Item> item;
  grpc::ByteBuffer request;
  {
    absl::MutexLock lock(&mutex_);
    request.Swap(&read_);  // from here on another thread may read the next one
    reading_ = false;
    if (!ok) no_more_reads_ = true;
    if (ok && !finished_ && !broken_) {
      monitor_.Received();
      item = std::make_shared<Item>();
      item->bytes = request.Length();
      bytes_ += item->bytes;
      items_.push_back(item);
    }
  }
  if (item != nullptr) RunItem(item, request);
  Advance();
}

void OrderedStream::RunItem(const std::shared_ptr<Item>& item, grpc::ByteBuffer& request) {
  CallOrigin origin = origin_;
  origin.start = absl::Now();
  // A stream may live longer than any item may take.
  origin.deadline = DeadlineOf(absl::InfiniteFuture(), origin.start, context_.limits.default_deadline);
  if (call_->deadline() != std::chrono::system_clock::time_point::max()) {
    origin.deadline = std::min(origin.deadline, absl::FromChrono(call_->deadline()));
  }
  const bool is_long = request.Length() >= LongCalls::kLongBytes;
  auto job = MakeJob(&request, origin);
  request.Clear();
  StreamJob* const started = job.get();
  {
    absl::MutexLock lock(&mutex_);
    item->job = std::move(job);
    if (broken_) started->Cancel();  // not started: it only marks itself
  }
  started->OnPart([stream = std::weak_ptr<OrderedStream>(shared_from_this())] {
    if (const auto alive = stream.lock()) alive->Advance();
  });
  auto start = [started, stream = shared_from_this(), item] {
    started->Start([stream, item](const absl::Status& status) {
      {
        absl::MutexLock lock(&stream->mutex_);
        item->status = status;
        item->done = true;
      }
      stream->Advance();
    });
  };
  if (!is_long) return start();
  context_.long_calls.Add(std::move(start));
}

void OrderedStream::OnWriteDone(bool ok) {
  std::shared_ptr<Item> written;  // goes without the lock
  {
    absl::MutexLock lock(&mutex_);
    written = std::move(writing_);
    writing_part_ = false;
    write_.Clear();
    if (!ok) broken_ = true;
  }
  if (!ok) CancelItems();
  Advance();
}

void OrderedStream::OnCancel() {
  {
    absl::MutexLock lock(&mutex_);
    broken_ = true;
  }
  CancelItems();
  Advance();
}

void OrderedStream::CancelItems() {
  std::vector<std::shared_ptr<Item>> items;
  {
    absl::MutexLock lock(&mutex_);
    for (const std::shared_ptr<Item>& item : items_) {
      if (item->job != nullptr) items.push_back(item);  // those without one look at broken_ when they get it
    }
  }
  for (const std::shared_ptr<Item>& item : items) item->job->Cancel();
}

void OrderedStream::OnDone() {
  context_.drain.Forget(drain_id_);
  self_.reset();
}

}  // namespace attnd
