// FillMask: one row of the vocabulary for each mask.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/ops/logits.h"
#include "server/rpc/scores.h"
#include "server/rpc/task_calls.h"

namespace attnd {
namespace {

constexpr int64_t kDefaultCandidates = 5;
// Of a candidate beside its text, about: the message, its token.
constexpr int64_t kCandidateBytes = 128;

}  // namespace

absl::Status FillMaskCall::Prepare() {
  if (absl::Status status = Open(Task::kFillMask); !status.ok()) return status;
  const Model& model = *job_.served().model;
  const int32_t mask_id = model.mask_token_id;
  if (mask_id < 0) return WithField(absl::FailedPreconditionError("the model has no mask token"), "model");
  const std::vector<absl::string_view> texts(request_.texts().begin(), request_.texts().end());
  if (absl::Status status = job_.Tokenise(texts, truncate_, "texts"); !status.ok()) return status;
  for (size_t i = 0; i < job_.sequences().size(); ++i) {
    TextSequence& sequence = job_.sequences()[i];
    for (int t = 0; t < sequence.encoding.tokens(); ++t) {
      if (sequence.encoding.ids[static_cast<size_t>(t)] == mask_id) sequence.logit_positions.push_back(t);
    }
    if (sequence.logit_positions.empty()) {
      return FieldError(absl::StrCat("texts[", i, "]"),
                        absl::StrCat("has no ", model.tokenizer->TokenText(mask_id), " among its tokens"));
    }
  }
  if (absl::Status status = Close(); !status.ok()) return status;
  // Each candidate repeats its text: the whole vocabulary for many masks would be gigabytes.
  int64_t bytes = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    bytes += static_cast<int64_t>(job_.sequences()[i].logit_positions.size()) * candidates() *
             (static_cast<int64_t>(texts[i].size()) + kCandidateBytes);
  }
  return job_.HoldPart(bytes, "candidates");
}

int64_t FillMaskCall::candidates() const {
  const int64_t asked = request_.top_k() == 0 ? kDefaultCandidates : request_.top_k();
  return std::min<int64_t>(asked, job_.config().vocab_size);
}

absl::Status FillMaskCall::Collect() {
  for (TextSequence& sequence : job_.sequences()) {
    v1::FilledText& text = *response_.add_texts();
    if (absl::Status status = FillOne(sequence, text); !status.ok()) return status;
    FillText(sequence, text);
  }
  return absl::OkStatus();
}

absl::Status FillMaskCall::FillOne(const TextSequence& sequence, v1::FilledText& text) const {
  const Tokenizer& tokenizer = job_.served().tokenizer();
  const Encoding& encoding = sequence.encoding;
  const auto vocabulary = static_cast<size_t>(job_.config().vocab_size);
  // The text's own tokens, into which one candidate after the other is put.
  std::vector<int32_t> ids;
  std::vector<size_t> places(encoding.ids.size());  // of each token in `ids`
  for (size_t t = 0; t < encoding.ids.size(); ++t) {
    places[t] = ids.size();
    if (encoding.special[t] == 0) ids.push_back(encoding.ids[t]);
  }
  const float* row = sequence.logits;
  for (const int32_t position : sequence.logit_positions) {
    const absl::Span<const float> logits(row, vocabulary);
    row += vocabulary;
    const float log_sum = LogSumExp(logits);
    int32_t& place = ids[places[static_cast<size_t>(position)]];
    const int32_t mask = place;
    v1::FilledMask& filled = *text.add_masks();
    filled.set_token(static_cast<uint32_t>(position));
    for (const int id : TopIndices(logits, static_cast<size_t>(candidates()))) {
      // A candidate takes longer than a look at the clock by far, and there may be thousands.
      if (absl::Status status = job_.CheckWanted(); !status.ok()) return status;
      const float logit = logits[static_cast<size_t>(id)];
      place = id;
      // The table may have more rows than the vocabulary has words.
      auto whole = tokenizer.Decode(ids, false);
      auto word = tokenizer.Decode({place}, false);
      if (!whole.ok() || !word.ok()) continue;
      v1::MaskCandidate& candidate = *filled.add_candidates();
      candidate.set_id(id);
      candidate.set_score(request_.raw_scores() ? logit : std::exp(logit - log_sum));
      candidate.set_token(*std::move(word));
      candidate.set_text(*std::move(whole));
    }
    place = mask;
  }
  return absl::OkStatus();
}

}  // namespace attnd
