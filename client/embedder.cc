#include "client/embedder.h"

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/strip.h"
#include "client/format.h"

namespace attnd {
namespace {

constexpr size_t kMaxMessagesAhead = 16;
constexpr int kMaxIdleStreams = 4;  // that break without an answer, one after the other
constexpr std::chrono::milliseconds kFirstPause(100);

using Stream = grpc::ClientReaderWriter<v1::EmbedStreamRequest, v1::EmbedStreamResponse>;

// The messages that were read and not yet answered, for the threads that read, send and receive. They outlive a stream:
// what a replica that stops has not answered goes to another one.
class Messages {
 public:
  using Message = std::shared_ptr<const std::vector<Text>>;

  // Of the reader. Waits for room; false when nobody wants any more.
  bool Push(std::vector<Text> texts) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return over_ || messages_.size() < kMaxMessagesAhead; });
    if (over_) return false;
    messages_.push_back(std::make_shared<const std::vector<Text>>(std::move(texts)));
    changed_.notify_all();
    return true;
  }
  void AllRead() {
    std::lock_guard lock(mutex_);
    all_read_ = true;
    changed_.notify_all();
  }

  // Of the sender: the next message of this stream, null after the last one.
  Message Next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stream_over_ || all_read_ || sent_ < messages_.size(); });
    return stream_over_ || sent_ == messages_.size() ? nullptr : messages_[sent_++];
  }

  // Of the receiver: the message that was sent first, null where none was.
  Message Pop() {
    std::lock_guard lock(mutex_);
    if (sent_ == 0) return nullptr;
    const Message message = std::move(messages_.front());
    messages_.pop_front();
    --sent_;
    changed_.notify_all();
    return message;
  }
  // Begins with the messages that are left, from the first one.
  void StartStream() {
    std::lock_guard lock(mutex_);
    stream_over_ = false;
    sent_ = 0;
  }
  void EndStream() {
    std::lock_guard lock(mutex_);
    stream_over_ = true;
    changed_.notify_all();
  }
  bool Empty() {
    std::lock_guard lock(mutex_);
    return messages_.empty();
  }
  // Nobody wants any more.
  void End() {
    std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Message> messages_;  // all guarded by mutex_
  size_t sent_ = 0;               // of them, in this stream
  bool all_read_ = false;
  bool stream_over_ = false;
  bool over_ = false;
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

  void Answer(const std::vector<Text>& texts, const v1::EmbedResponse& response) {
    const size_t dimensions = response.dimensions();
    const bool fits = response.texts_size() == static_cast<int>(texts.size()) &&
                      response.vectors().size() == texts.size() * dimensions * sizeof(float);
    totals_.dimensions = static_cast<int>(dimensions);
    AddTimings(totals_.timings, response.timings());
    auto text = response.texts().begin();
    for (size_t i = 0; i < texts.size(); ++i) {
      Embedded result{texts[i], grpc::Status::OK, {}, 0, false};
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

void Read(const EmbedSettings& settings, const std::function<bool(Text&)>& next, Messages& messages) {
  for (bool more = true; more;) {
    std::vector<Text> texts;
    Text text;
    while (static_cast<int>(texts.size()) < settings.texts_per_message && (more = next(text))) texts.push_back(text);
    if (texts.empty() || !messages.Push(std::move(texts))) break;
  }
  messages.AllRead();
}

void Send(Stream& stream, const EmbedSettings& settings, Messages& messages) {
  v1::EmbedStreamRequest request;
  for (uint64_t id = 0;; ++id) {
    const Messages::Message texts = messages.Next();
    if (texts == nullptr) break;
    request.set_id(id);
    *request.mutable_request() = MakeRequest(settings, *texts);
    if (!stream.Write(request)) break;
  }
  stream.WritesDone();
}

// An error of a whole message of several texts: each alone says which of them failed it.
void AskOneByOne(const Client& client, const EmbedSettings& settings, const std::vector<Text>& texts,
                 Emitter& emitter) {
  for (const Text& text : texts) {
    grpc::ClientContext context;
    client.Prepare(context);
    v1::EmbedResponse response;
    const std::vector<Text> one = {text};
    const grpc::Status status = client.stub().Embed(&context, MakeRequest(settings, one), &response);
    status.ok() ? emitter.Answer(one, response) : emitter.Fail(text, status);
  }
}

// One stream until it ends; `answers` counts the messages that it answered.
grpc::Status RunStream(const Client& client, const EmbedSettings& settings, Messages& messages, Emitter& emitter,
                       int64_t& answers) {
  grpc::ClientContext context;
  const auto stream = client.stub().EmbedStream(&context);
  messages.StartStream();
  std::thread sender([&] { Send(*stream, settings, messages); });
  v1::EmbedStreamResponse response;
  while (stream->Read(&response)) {
    const Messages::Message texts = messages.Pop();
    if (texts == nullptr) {  // an answer to nothing
      context.TryCancel();
      break;
    }
    ++answers;
    if (response.has_response()) {
      emitter.Answer(*texts, response.response());
    } else if (texts->size() > 1) {
      AskOneByOne(client, settings, *texts, emitter);
    } else {
      emitter.Fail(texts->front(),
                   {static_cast<grpc::StatusCode>(response.error().code()), response.error().message()});
    }
  }
  messages.EndStream();
  grpc::Status status = stream->Finish();  // a sender's call that still waits fails now
  sender.join();
  return status;
}

}  // namespace

grpc::Status EmbedTexts(const Client& client, const EmbedSettings& settings, const std::function<bool(Text&)>& next,
                        const std::function<void(Embedded&&)>& emit, EmbedTotals& totals) {
  Messages messages;
  std::thread reader([&] { Read(settings, next, messages); });
  Emitter emitter(emit, totals);
  grpc::Status status;
  bool answered = false;
  // A server that drains ends its streams with UNAVAILABLE. gRPC's own retries end with a stream's first answer; before
  // it they are enough.
  for (int idle = 0; idle < kMaxIdleStreams; ++idle) {
    if (idle > 0) std::this_thread::sleep_for(kFirstPause * (1 << (idle - 1)));
    int64_t answers = 0;
    status = RunStream(client, settings, messages, emitter, answers);
    if (answers > 0) {
      answered = true;
      idle = 0;
    }
    if (status.error_code() != grpc::StatusCode::UNAVAILABLE || !answered) break;
  }
  messages.End();
  reader.join();
  if (status.ok() && !messages.Empty()) return {grpc::StatusCode::INTERNAL, "the server ended the stream early"};
  return status;
}

}  // namespace attnd
