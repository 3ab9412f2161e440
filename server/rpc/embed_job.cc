#include "server/rpc/embed_job.h"

#include <bit>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/ops/status.h"
#include "server/rpc/attention_spec.h"
#include "server/rpc/prompt.h"
#include "server/rpc/replies.h"
#include "server/rpc/task_check.h"
#include "server/rpc/texts_writer.h"

namespace attnd {

static_assert(std::endian::native == std::endian::little, "vectors go out as the engine writes them");

absl::Status EmbedJob::Prepare(const v1::EmbedRequest& request) {
  if (absl::Status status = job_.ResolveAnyModel(request.model()); !status.ok()) return status;
  if (absl::Status status = CheckPooling(request); !status.ok()) return status;
  if (!v1::VectorFormat_IsValid(request.format())) return FieldError("format", "unknown value");
  const auto truncate = ToTruncate(request.truncate());
  if (!truncate.ok()) return truncate.status();
  AttentionSpec attention;
  if (request.has_attention()) {
    const ModelShape shape = job_.served().shape();
    auto spec = ToAttentionSpec(request.attention(), shape.layers, shape.heads);
    if (!spec.ok()) return spec.status();
    attention = *std::move(spec);
  }
  const auto given = [](bool has, const std::string& text) {
    return has ? std::optional<std::string>(text) : std::nullopt;
  };
  const EmbeddingConfig& config = job_.served().embedding();
  const auto prompt = FindPrompt(config, given(request.has_prompt_name(), request.prompt_name()),
                                 given(request.has_prompt(), request.prompt()));
  if (!prompt.ok()) return prompt.status();
  job_.LimitTokens(config.max_tokens);
  const std::vector<absl::string_view> texts(request.texts().begin(), request.texts().end());
  if (absl::Status status = job_.Tokenise(texts, *truncate, "texts", *prompt); !status.ok()) return status;
  if (!request.has_attention()) return absl::OkStatus();
  return job_.PlanAttention(attention, static_cast<int64_t>(request.attention().max_bytes()));
}

absl::Status EmbedJob::CheckPooling(const v1::EmbedRequest& request) const {
  if (!v1::Pooling_IsValid(request.pooling())) return FieldError("pooling", "unknown value");
  if (request.pooling() == v1::POOLING_DEFAULT || job_.served().is_decoder()) return absl::OkStatus();
  return FieldError("pooling", "an encoder pools as its configuration says: only decoders let you choose");
}

// The engine writes into the response itself: no vector is copied.
void EmbedJob::MakeOutputs(const v1::EmbedRequest& request) {
  const EmbeddingConfig& config = job_.served().embedding();
  const auto dimensions = static_cast<size_t>(config.embedding_size);
  const bool last =
      request.pooling() == v1::POOLING_DEFAULT ? config.pooling.last_token : request.pooling() == v1::POOLING_LAST;
  std::vector<TextSequence>& sequences = job_.sequences();
  response_.set_model(job_.served().name);
  response_.set_dimensions(static_cast<uint32_t>(dimensions));
  response_.set_tokens(static_cast<uint64_t>(job_.tokens()));
  response_.mutable_texts()->Reserve(static_cast<int>(sequences.size()));
  const bool as_bytes = request.format() == v1::VECTOR_FORMAT_BYTES;
  float* vectors = nullptr;  // [texts, dimensions]
  if (as_bytes) {
    std::string& bytes = *response_.mutable_vectors();
    bytes.resize(sequences.size() * dimensions * sizeof(float));
    vectors = reinterpret_cast<float*>(bytes.data());  // strings are aligned for it: by malloc, or inside themselves
  }
  for (size_t i = 0; i < sequences.size(); ++i) {
    TextSequence& sequence = sequences[i];
    v1::EmbeddedText& text = *response_.add_texts();
    text.set_tokens(static_cast<uint32_t>(sequence.encoding.tokens()));
    text.set_truncated(sequence.encoding.truncated);
    if (as_bytes) {
      sequence.embedding = vectors + i * dimensions;
    } else {
      text.mutable_values()->Resize(static_cast<int>(dimensions), 0.0f);
      sequence.embedding = text.mutable_values()->mutable_data();
    }
    if (request.has_normalize()) sequence.normalize = request.normalize();
    sequence.pooling = last ? HiddenPooling::kLast : HiddenPooling::kMean;
  }
}

void EmbedJob::Start(const v1::EmbedRequest& request, TextJob::Done done) {
  if (absl::Status status = Prepare(request); !status.ok()) return std::move(done)(status);
  MakeOutputs(request);
  job_.Start([this, done = std::move(done)](const absl::Status& status) mutable {
    if (status.ok()) Collect();
    std::move(done)(status);
  });
}

void EmbedJob::Collect() {
  std::vector<TextSequence>& sequences = job_.sequences();
  for (size_t i = 0; i < sequences.size(); ++i) {
    TextSequence& sequence = sequences[i];
    if (sequence.plan == nullptr) continue;
    map_data_.resize(sequences.size());
    map_data_[i] = FillAttention(sequence, job_.served().tokenizer(),
                                 *response_.mutable_texts(static_cast<int>(i))->mutable_attention());
  }
}

void EmbedJob::Write(SliceWriter& writer) {
  WriteTexts(response_, v1::EmbedResponse::kTextsFieldNumber, *response_.mutable_texts(), std::move(map_data_), writer);
}

void EmbedJob::Report(CallMonitor& monitor) {
  job_.EndRespond();
  FillTimings(job_.times(), job_.total(), *response_.mutable_timings());
  job_.Observe(monitor);
}

}  // namespace attnd
