// TokenClassify: one row of labels for each token, put together to entities.
#include <string>
#include <vector>

#include "server/rpc/entities.h"
#include "server/rpc/scores.h"
#include "server/rpc/task_calls.h"

namespace attnd {
namespace {

// Counts the characters of a text up to positions that come in ascending order.
class CharacterCounter {
 public:
  explicit CharacterCounter(absl::string_view text) : text_(text) {}
  uint32_t At(int32_t byte) {
    const size_t end = std::min(static_cast<size_t>(byte), text_.size());
    if (end < at_) at_ = characters_ = 0;
    for (; at_ < end; ++at_) characters_ += (static_cast<unsigned char>(text_[at_]) & 0xc0) != 0x80;
    return static_cast<uint32_t>(characters_);
  }

 private:
  const absl::string_view text_;
  size_t at_ = 0;
  size_t characters_ = 0;
};

void FillEntity(const TokenEntity& entity, absl::string_view text, CharacterCounter& characters, v1::Entity& reply) {
  reply.set_label(entity.label);
  reply.set_score(entity.score);
  reply.set_begin(static_cast<uint32_t>(entity.begin));
  reply.set_end(static_cast<uint32_t>(entity.end));
  reply.set_begin_char(characters.At(entity.begin));
  reply.set_end_char(characters.At(entity.end));
  reply.set_begin_token(static_cast<uint32_t>(entity.begin_token));
  reply.set_end_token(static_cast<uint32_t>(entity.end_token));
  // A token of a few bytes of a character has those bytes alone, which no string field may hold.
  const auto is_border = [text](int32_t byte) {
    return static_cast<size_t>(byte) >= text.size() ||
           (static_cast<unsigned char>(text[static_cast<size_t>(byte)]) & 0xc0) != 0x80;
  };
  if (is_border(entity.begin) && is_border(entity.end) && entity.begin <= entity.end) {
    reply.set_text(
        std::string(text.substr(static_cast<size_t>(entity.begin), static_cast<size_t>(entity.end - entity.begin))));
  }
}

}  // namespace

absl::Status TokenClassifyCall::Prepare() {
  if (absl::Status status = Open(Task::kTokenClassify); !status.ok()) return status;
  if (!v1::EntityAggregation_IsValid(request_.aggregation())) return FieldError("aggregation", "unknown value");
  const std::vector<absl::string_view> texts(request_.texts().begin(), request_.texts().end());
  absl::Status status = job_.Tokenise(texts, truncate_, "texts");
  return status.ok() ? Close() : status;
}

absl::Status TokenClassifyCall::Collect() {
  const std::vector<std::string>& labels = job_.config().labels;
  const auto aggregation = static_cast<Aggregation>(request_.aggregation());
  if (request_.token_scores()) response_.mutable_labels()->Add(labels.begin(), labels.end());
  for (size_t i = 0; i < job_.sequences().size(); ++i) {
    TextSequence& sequence = job_.sequences()[i];
    const auto tokens = static_cast<size_t>(sequence.encoding.tokens());
    v1::TokenClassifiedText& text = *response_.add_texts();
    const auto send = [&] {
      text.mutable_scores()->assign(reinterpret_cast<const char*>(sequence.logits),
                                    tokens * labels.size() * sizeof(float));
    };
    if (request_.token_scores() && request_.raw_scores()) send();
    for (size_t t = 0; t < tokens; ++t) Softmax({sequence.logits + t * labels.size(), labels.size()});
    if (request_.token_scores() && !request_.raw_scores()) send();

    const std::string& source = request_.texts(static_cast<int>(i));
    CharacterCounter characters(source);
    for (const TokenEntity& entity :
         FindEntities(sequence.encoding, {sequence.logits, tokens * labels.size()}, labels, aggregation)) {
      FillEntity(entity, source, characters, *text.add_entities());
    }
    FillText(sequence, text);
  }
  return absl::OkStatus();
}

static_assert(static_cast<int>(Aggregation::kAverage) == v1::ENTITY_AGGREGATION_AVERAGE &&
              static_cast<int>(Aggregation::kNone) == v1::ENTITY_AGGREGATION_NONE &&
              static_cast<int>(Aggregation::kFirst) == v1::ENTITY_AGGREGATION_FIRST &&
              static_cast<int>(Aggregation::kMax) == v1::ENTITY_AGGREGATION_MAX);

}  // namespace attnd
