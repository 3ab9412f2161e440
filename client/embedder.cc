#include "client/embedder.h"

#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/strip.h"
#include "client/format.h"

namespace attnd {
namespace {

constexpr size_t kMaxMessagesAhead = 16;

using Stream = grpc::ClientReaderWriter<v1::EmbedStreamRequest, v1::EmbedStreamResponse>;

// The messages sent and not yet answered.
class Pending {
 public:
  // Waits for room; false when the stream is over.
  bool Push(std::vector<Text> texts) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return over_ || messages_.size() < kMaxMessagesAhead; });
    if (!over_) messages_.push_back(std::move(texts));
    return !over_;
  }
  std::optional<std::vector<Text>> Pop() {
    std::lock_guard lock(mutex_);
    if (messages_.empty()) return std::nullopt;
    std::vector<Text> texts = std::move(messages_.front());
    messages_.pop_front();
    changed_.notify_all();
    return texts;
  }
  void End() {
    std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::vector<Text>> messages_;  // guarded by mutex_
  bool over_ = false;                       // guarded by mutex_
};

v1::EmbedRequest MakeRequest(const EmbedSettings& settings, const std::vector<Text>& texts) {
  v1::EmbedRequest request;
  request.set_model(settings.model);
  request.set_truncate(settings.truncate);
  if (settings.normalize) request.set_normalize(*settings.normalize);
  if (settings.prompt_name) request.set_prompt_name(*settings.prompt_name);
  if (settings.prompt) request.set_prompt(*settings.prompt);
  for (const Text& text : texts) {
    // protobuf carries UTF-8 alone: what is not is answered here, an empty text holds its place.
    request.add_texts(IsUtf8(text.text) ? text.text : "");
  }
  return request;
}

class Emitter {
 public:
  Emitter(const std::function<void(Embedded&&)>& emit, EmbedTotals& totals) : emit_(emit), totals_(totals) {}

  void Answer(std::vector<Text> texts, const v1::EmbedResponse& response) {
    const size_t dimensions = response.dimensions();
    const bool fits = response.texts_size() == static_cast<int>(texts.size()) &&
                      response.vectors().size() == texts.size() * dimensions * sizeof(float);
    totals_.dimensions = static_cast<int>(dimensions);
    AddTimings(totals_.timings, response.timings());
    auto text = response.texts().begin();
    for (size_t i = 0; i < texts.size(); ++i) {
      Embedded result{std::move(texts[i]), grpc::Status::OK, {}, 0, false};
      if (!fits) {
        result.status = {grpc::StatusCode::DATA_LOSS, "the server's vectors do not fit the texts"};
      } else {
        result.tokens = text->tokens();
        result.truncated = text->truncated();
        ++text;
        result.vector.resize(dimensions);
        std::memcpy(result.vector.data(), response.vectors().data() + i * dimensions * sizeof(float),
                    dimensions * sizeof(float));
      }
      Emit(std::move(result));
    }
  }

  // The text was alone in its message: its place there says nothing.
  void Fail(Text text, const grpc::Status& status) {
    const std::string message(absl::StripPrefix(status.error_message(), "texts[0]: "));
    Emit({std::move(text), grpc::Status(status.error_code(), message), {}, 0, false});
  }

 private:
  void Emit(Embedded&& result) {
    if (!IsUtf8(result.source.text)) {
      result = {std::move(result.source), {grpc::StatusCode::INVALID_ARGUMENT, "the text is not UTF-8"}, {}, 0, false};
    }
    ++totals_.texts;
    totals_.failed += result.status.ok() ? 0 : 1;
    totals_.tokens += result.tokens;
    emit_(std::move(result));
  }

  const std::function<void(Embedded&&)>& emit_;
  EmbedTotals& totals_;
};

void Write(Stream& stream, const EmbedSettings& settings, const std::function<bool(Text&)>& next, Pending& pending) {
  uint64_t id = 0;
  for (bool more = true; more;) {
    std::vector<Text> texts;
    Text text;
    while (static_cast<int>(texts.size()) < settings.texts_per_message && (more = next(text))) texts.push_back(text);
    if (texts.empty()) break;
    v1::EmbedStreamRequest request;
    request.set_id(id++);
    *request.mutable_request() = MakeRequest(settings, texts);
    if (!pending.Push(std::move(texts)) || !stream.Write(request)) break;
  }
  stream.WritesDone();
}

}  // namespace

grpc::Status EmbedTexts(const Client& client, const EmbedSettings& settings, const std::function<bool(Text&)>& next,
                        const std::function<void(Embedded&&)>& emit, EmbedTotals& totals) {
  grpc::ClientContext context;
  const auto stream = client.stub().EmbedStream(&context);
  Pending pending;
  std::thread writer([&] { Write(*stream, settings, next, pending); });
  Emitter emitter(emit, totals);
  v1::EmbedStreamResponse response;
  while (stream->Read(&response)) {
    auto texts = pending.Pop();
    if (!texts) {  // an answer to nothing
      context.TryCancel();
      break;
    }
    if (response.has_response()) {
      emitter.Answer(*std::move(texts), response.response());
      continue;
    }
    const grpc::Status error(static_cast<grpc::StatusCode>(response.error().code()), response.error().message());
    if (texts->size() == 1) {
      emitter.Fail(std::move(texts->front()), error);
      continue;
    }
    // One of them failed the message: each alone says which.
    for (Text& text : *texts) {
      grpc::ClientContext alone_context;
      client.Prepare(alone_context);
      v1::EmbedResponse alone;
      const std::vector<Text> one = {text};
      const grpc::Status status = client.stub().Embed(&alone_context, MakeRequest(settings, one), &alone);
      status.ok() ? emitter.Answer(one, alone) : emitter.Fail(std::move(text), status);
    }
  }
  pending.End();
  grpc::Status status = stream->Finish();  // a writer's call that still waits fails now
  writer.join();
  if (status.ok() && pending.Pop()) return {grpc::StatusCode::INTERNAL, "the server ended the stream early"};
  return status;
}

}  // namespace attnd
