// Classify and Rerank: one row of labels for each text or pair.
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/rpc/scores.h"
#include "server/rpc/task_calls.h"

namespace attnd {

absl::Status ClassifyCall::Prepare() {
  if (absl::Status status = Open(Task::kClassify); !status.ok()) return status;
  const std::vector<absl::string_view> texts(request_.texts().begin(), request_.texts().end());
  const std::vector<absl::string_view> pairs(request_.text_pairs().begin(), request_.text_pairs().end());
  if (!pairs.empty() && pairs.size() != texts.size()) {
    return FieldError("text_pairs", absl::StrCat(pairs.size(), " for ", texts.size(), " texts: none, or one each"));
  }
  absl::Status status = pairs.empty() ? job_.Tokenise(texts, truncate_, "texts")
                                      : job_.TokenisePairs(texts, "texts", pairs, "text_pairs", truncate_);
  return status.ok() ? Close() : status;
}

absl::Status ClassifyCall::Collect() {
  const std::vector<std::string>& labels = job_.config().labels;
  response_.mutable_texts()->Reserve(static_cast<int>(job_.sequences().size()));
  for (TextSequence& sequence : job_.sequences()) {
    const absl::Span<float> scores(sequence.logits, labels.size());
    if (!request_.raw_scores()) ToScores(job_.config().problem_type, scores);
    v1::ClassifiedText& text = *response_.add_texts();
    for (const int id : TopIndices(scores, request_.top_k())) {
      v1::LabelScore& label = *text.add_labels();
      label.set_label(labels[static_cast<size_t>(id)]);
      label.set_id(static_cast<uint32_t>(id));
      label.set_score(scores[static_cast<size_t>(id)]);
    }
    FillText(sequence, text);
  }
  return absl::OkStatus();
}

absl::Status RerankCall::Prepare() {
  if (absl::Status status = Open(Task::kClassify); !status.ok()) return status;
  if (absl::Status status = CheckReranker(job_.served()); !status.ok()) return WithField(status, "model");
  const std::vector<absl::string_view> documents(request_.documents().begin(), request_.documents().end());
  absl::Status status =
      job_.TokenisePairs({absl::string_view(request_.query())}, "query", documents, "documents", truncate_);
  return status.ok() ? Close() : status;
}

absl::Status RerankCall::Collect() {
  std::vector<float> scores;
  for (const TextSequence& sequence : job_.sequences()) scores.push_back(*sequence.logits);
  if (!request_.raw_scores()) Sigmoid(absl::MakeSpan(scores));
  for (const int index : TopIndices(scores, request_.top_n())) {
    v1::RankedDocument& result = *response_.add_results();
    result.set_index(static_cast<uint32_t>(index));
    result.set_score(scores[static_cast<size_t>(index)]);
    if (request_.return_documents()) result.set_document(std::move(*request_.mutable_documents(index)));
    FillText(job_.sequences()[static_cast<size_t>(index)], result);
  }
  return absl::OkStatus();
}

}  // namespace attnd
