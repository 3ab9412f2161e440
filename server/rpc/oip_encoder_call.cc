// An encoder's inference request: from tensors to a TextJob, and from its results to tensors.
#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/aligned.h"
#include "core/engine/engine.h"
#include "server/ops/status.h"
#include "server/rpc/oip_call.h"
#include "server/rpc/oip_encoder.h"
#include "server/rpc/oip_parameters.h"
#include "server/rpc/oip_tensors.h"
#include "server/rpc/scores.h"

namespace attnd {
namespace {

class OipEncoderCall : public OipCall {
 public:
  OipEncoderCall(ServerContext& context, const CallOrigin& origin, ServedModelPtr model,
                 const inference::ModelInferRequest& request)
      : OipCall(std::move(model), request), context_(context), job_(context, origin) {}

  void Start(Done done) override;
  void Cancel() override { job_.Cancel(); }
  const StageTimes& times() const override { return job_.times(); }
  void Observe(CallMonitor& monitor) const override { job_.Observe(monitor); }

 private:
  absl::Status Prepare();
  absl::Status TakeSequences();
  absl::Status CheckSizes();
  absl::Status PlanAttention();
  void SetOutputs();

  std::vector<int64_t> Shape(OipEncoderOutput output) const;
  template <typename T>
  T* Add(OipEncoderOutput output) {
    const OipType type = std::is_same_v<T, float> ? OipType::kFp32 : OipType::kInt32;
    return reinterpret_cast<T*>(AddOipOutput(kOipEncoderOutputs[output], type, Shape(output), response_));
  }
  int64_t PaddedScores() const;
  void MakeScores();
  void AddResults();
  void AddAttention();
  void AddTokens();

  ServerContext& context_;
  TextJob job_;
  OipEncoderRequest asked_{.selection = HeadSelection::All(job_config().layers, job_config().heads)};
  int64_t texts_ = 0;
  int64_t length_ = 0;                // tokens of the longest sequence
  AlignedBuffer<float> last_hidden_;  // [tokens of all sequences, hidden]; untouched until the model runs
  float* scores_ = nullptr;           // Shape(kOutScores), in the response

  const ModelConfig& job_config() const { return model_->model->config; }
};

void OipEncoderCall::Start(Done done) {
  if (absl::Status status = Prepare(); !status.ok()) return std::move(done)(status);
  if (!asked_.RunsModel()) {
    AddResults();
    job_.EndRespond();
    return std::move(done)(absl::OkStatus());
  }
  job_.Start([this, done = std::move(done)](const absl::Status& status) mutable {
    if (status.ok()) {
      AddResults();
      job_.EndRespond();
    }
    Done last = std::move(done);  // it may destroy this
    std::move(last)(status);
  });
}

absl::Status OipEncoderCall::Prepare() {
  job_.UseModel(model_);
  auto asked = OipEncoderRequest::Read(request_, job_config());
  if (!asked.ok()) return asked.status();
  asked_ = *std::move(asked);
  if (absl::Status status = TakeSequences(); !status.ok()) return status;
  if (absl::Status status = CheckSizes(); !status.ok()) return status;
  if (absl::Status status = PlanAttention(); !status.ok()) return status;
  SetOutputs();
  return absl::OkStatus();
}

absl::Status OipEncoderCall::TakeSequences() {
  absl::Status status;
  if (!asked_.ids.empty()) {
    status = job_.TakeIds(std::move(asked_.ids), "input_ids");
  } else if (asked_.query.has_value()) {
    status = job_.TokenisePairs({*asked_.query}, "query", asked_.texts, "text", asked_.truncate);
  } else if (!asked_.text_pairs.empty()) {
    status = job_.TokenisePairs(asked_.texts, "text", asked_.text_pairs, "text_pair", asked_.truncate);
  } else {
    status = job_.Tokenise(asked_.texts, asked_.truncate, "text", asked_.prompt);
  }
  if (!status.ok()) return status;
  std::vector<TextSequence>& sequences = job_.sequences();
  for (size_t i = 0; i < asked_.type_ids.size(); ++i) {
    Encoding& encoding = sequences[i].encoding;
    encoding.type_ids = std::move(asked_.type_ids[i]);
    status = Engine::Check(job_config(), encoding.ids, encoding.type_ids);
    if (!status.ok()) return WithField(status, absl::StrCat("token_type_ids[", i, "]"));
  }
  texts_ = static_cast<int64_t>(sequences.size());
  for (const TextSequence& sequence : sequences) length_ = std::max<int64_t>(length_, sequence.encoding.tokens());
  return absl::OkStatus();
}

// The padded sizes, which may be far above those of the sequences themselves.
absl::Status OipEncoderCall::CheckSizes() {
  const int64_t limit = context_.limits.max_attention_bytes;
  int64_t total = 0;
  for (const OipEncoderOutput output :
       {kOutLastHidden, kOutAttention, kOutEntropy, kOutTokenIds, kOutTokens, kOutTokenSpans, kOutScores}) {
    if (!asked_.Wants(output)) continue;
    if (__builtin_add_overflow(total, OipBytes(OipType::kFp32, Shape(output)), &total)) {
      total = std::numeric_limits<int64_t>::max();
    }
  }
  if (total <= limit) return job_.HoldMemory(total);
  return WithReason(
      absl::ResourceExhaustedError(absl::StrCat("outputs: ", texts_, " texts padded to ", length_, " tokens need ",
                                                total, " bytes, the limit is ", limit,
                                                " (the server's max_attention_bytes); send fewer texts a call, "
                                                "texts of like length, or select fewer layers or heads")),
      "attention_cap");
}

absl::Status OipEncoderCall::PlanAttention() {
  if (!asked_.Wants(kOutAttention) && !asked_.Wants(kOutEntropy)) return absl::OkStatus();
  AttentionSpec spec;
  spec.maps = asked_.Wants(kOutAttention);
  spec.selection = asked_.selection;
  if (asked_.Wants(kOutEntropy)) {
    spec.statistics = kStatEntropy;
    spec.statistics_selection = asked_.selection;
  }
  return job_.PlanAttention(spec, 0, "outputs");
}

void OipEncoderCall::SetOutputs() {
  const int64_t hidden = job_config().hidden_size;
  const int64_t dimensions = job_config().embedding_size;
  float* embedding = asked_.Wants(kOutEmbedding) ? Add<float>(kOutEmbedding) : nullptr;
  scores_ = asked_.Wants(kOutScores) ? Add<float>(kOutScores) : nullptr;
  float* logits = scores_;
  if (asked_.Wants(kOutLastHidden)) last_hidden_.Reserve(static_cast<size_t>(job_.tokens() * hidden));
  float* last_hidden = last_hidden_.data();
  for (TextSequence& sequence : job_.sequences()) {
    sequence.normalize = asked_.normalize;
    sequence.embedding = embedding;
    sequence.last_hidden = last_hidden;
    sequence.logits = logits;
    if (embedding != nullptr) embedding += dimensions;
    if (logits != nullptr) logits += PaddedScores();
    if (last_hidden != nullptr) last_hidden += sequence.encoding.tokens() * hidden;
  }
}

std::vector<int64_t> OipEncoderCall::Shape(OipEncoderOutput output) const {
  const auto [layers, heads] = ShapeOf(asked_.selection);
  switch (output) {
    case kOutEmbedding:
      return {texts_, job_config().embedding_size};
    case kOutLastHidden:
      return {texts_, length_, job_config().hidden_size};
    case kOutAttention:
      return {texts_, layers, heads, length_, length_};
    case kOutEntropy:
      return {texts_, layers, heads, length_};
    case kOutTokenIds:
    case kOutTokens:
      return {texts_, length_};
    case kOutTokenCount:
      return {texts_};
    case kOutTokenSpans:
      return {texts_, length_, 2};
    case kOutScores:
      if (asked_.query.has_value()) return {texts_};
      if (job_config().task == Task::kClassify) return {texts_, job_config().logit_columns()};
      return {texts_, length_, job_config().logit_columns()};
  }
  return {};
}

// Numbers of one text in the scores.
int64_t OipEncoderCall::PaddedScores() const {
  return (job_config().task == Task::kClassify ? 1 : length_) * job_config().logit_columns();
}

// The model wrote logits where the scores go.
void OipEncoderCall::MakeScores() {
  if (asked_.raw_scores) return;
  const auto columns = static_cast<size_t>(job_config().logit_columns());
  for (const TextSequence& sequence : job_.sequences()) {
    if (asked_.query.has_value()) {
      Sigmoid({sequence.logits, columns});
    } else if (job_config().task == Task::kClassify) {
      ToScores(job_config().problem_type, {sequence.logits, columns});
    } else {
      for (int64_t row = 0; row < job_.LogitRows(sequence); ++row) {
        Softmax({sequence.logits + row * static_cast<int64_t>(columns), columns});
      }
    }
  }
}

// All but the embedding and the scores, which the model wrote into the response itself.
void OipEncoderCall::AddResults() {
  if (asked_.Wants(kOutLastHidden)) {
    const int64_t hidden = job_config().hidden_size;
    float* to = Add<float>(kOutLastHidden);
    const float* from = last_hidden_.data();
    for (const TextSequence& sequence : job_.sequences()) {
      const int64_t size = sequence.encoding.tokens() * hidden;
      std::copy_n(from, size, to);
      from += size;
      to += length_ * hidden;
    }
    last_hidden_ = {};
  }
  if (scores_ != nullptr) MakeScores();
  AddAttention();
  AddTokens();
}

void OipEncoderCall::AddAttention() {
  const int64_t heads = asked_.selection.size();
  if (asked_.Wants(kOutAttention)) {
    float* to = Add<float>(kOutAttention);
    for (TextSequence& sequence : job_.sequences()) {
      const int64_t tokens = sequence.encoding.tokens();
      const uint8_t* from = sequence.attention.data.data() + sequence.attention.plan->layout().values.offset;
      // Row r of map m lands at row r of the padded map; one copy where nothing is padded.
      const int64_t columns = tokens == length_ ? tokens * tokens : tokens;
      for (int64_t m = 0; m < heads; ++m, to += length_ * length_) {
        for (int64_t at = 0; at < tokens * tokens; at += columns, from += columns * sizeof(float)) {
          std::memcpy(to + at / tokens * length_, from, static_cast<size_t>(columns) * sizeof(float));
        }
      }
      sequence.attention.data = {};
    }
  }
  if (asked_.Wants(kOutEntropy)) {
    float* to = Add<float>(kOutEntropy);
    for (const TextSequence& sequence : job_.sequences()) {
      const int64_t tokens = sequence.encoding.tokens();
      const float* from = sequence.attention.statistics.entropy.data();
      for (int64_t m = 0; m < heads; ++m, from += tokens, to += length_) std::copy_n(from, tokens, to);
    }
  }
}

void OipEncoderCall::AddTokens() {
  if (asked_.Wants(kOutTokenIds)) {
    int32_t* to = Add<int32_t>(kOutTokenIds);
    for (const TextSequence& sequence : job_.sequences()) {
      std::copy(sequence.encoding.ids.begin(), sequence.encoding.ids.end(), to);
      to += length_;
    }
  }
  if (asked_.Wants(kOutTokenCount)) {
    int32_t* to = Add<int32_t>(kOutTokenCount);
    for (const TextSequence& sequence : job_.sequences()) *to++ = sequence.encoding.tokens();
  }
  if (asked_.Wants(kOutTokens)) {
    std::string& raw = AddOipByteStrings(kOipEncoderOutputs[kOutTokens], Shape(kOutTokens), response_);
    for (const TextSequence& sequence : job_.sequences()) {
      for (const int32_t id : sequence.encoding.ids) AppendOipByteString(model_->model->tokenizer->TokenText(id), raw);
      for (int64_t t = sequence.encoding.tokens(); t < length_; ++t) AppendOipByteString("", raw);
    }
  }
  if (asked_.Wants(kOutTokenSpans)) {
    int32_t* row = Add<int32_t>(kOutTokenSpans);
    for (const TextSequence& sequence : job_.sequences()) {
      int32_t* to = row;
      for (const TextSpan& span : sequence.encoding.spans) {
        *to++ = span.begin;
        *to++ = span.end;
      }
      row += 2 * length_;
    }
  }
}

}  // namespace

std::unique_ptr<OipCall> MakeOipEncoderCall(ServerContext& context, const CallOrigin& origin, ServedModelPtr model,
                                            const inference::ModelInferRequest& request) {
  return std::make_unique<OipEncoderCall>(context, origin, std::move(model), request);
}

}  // namespace attnd
