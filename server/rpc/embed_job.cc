#include "server/rpc/embed_job.h"

#include <bit>
#include <utility>
#include <vector>

#include "server/ops/status.h"
#include "server/rpc/attention_spec.h"
#include "server/rpc/replies.h"

namespace attnd {

static_assert(std::endian::native == std::endian::little, "vectors go out as the engine writes them");

absl::Status EmbedJob::Prepare(const v1::EmbedRequest& request) {
  if (absl::Status status = job_.ResolveModel(request.model()); !status.ok()) return status;
  if (!v1::VectorFormat_IsValid(request.format())) return FieldError("format", "unknown value");
  const auto truncate = ToTruncate(request.truncate());
  if (!truncate.ok()) return truncate.status();
  AttentionSpec attention;
  if (request.has_attention()) {
    auto spec = ToAttentionSpec(request.attention(), job_.config());
    if (!spec.ok()) return spec.status();
    attention = *std::move(spec);
  }
  const std::vector<absl::string_view> texts(request.texts().begin(), request.texts().end());
  if (absl::Status status = job_.Tokenise(texts, *truncate, "texts"); !status.ok()) return status;
  if (!request.has_attention()) return absl::OkStatus();
  return job_.PlanAttention(attention, static_cast<int64_t>(request.attention().max_bytes()));
}

// The engine writes into the response itself: no vector is copied.
void EmbedJob::MakeOutputs(const v1::EmbedRequest& request) {
  const size_t dimensions = job_.config().hidden_size;
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
    v1::Attention& attention = *response_.mutable_texts(static_cast<int>(i))->mutable_attention();
    FillAttentionHeader(*sequence.plan, *attention.mutable_header());
    FillTokens(sequence.encoding, *job_.served().model->tokenizer, *attention.mutable_tokens());
    AttentionResult result = std::move(sequence.attention);  // freed text by text
    attention.mutable_data()->assign(reinterpret_cast<const char*>(result.data.data()), result.data.size());
    if (sequence.plan->spec().statistics != 0) {
      FillStatistics(*sequence.plan, std::move(result.statistics), *attention.mutable_statistics());
    }
  }
}

void EmbedJob::Report(CallMonitor& monitor) {
  job_.EndRespond();
  FillTimings(job_.times(), job_.total(), *response_.mutable_timings());
  monitor.Observe(job_.times(), static_cast<int64_t>(job_.sequences().size()), job_.tokens());
  if (!job_.attention_layout().empty()) {
    monitor.ObserveAttention(job_.attention_layout(), job_.attention_bytes(), job_.attention_time());
  }
}

}  // namespace attnd
