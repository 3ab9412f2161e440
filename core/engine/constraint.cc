#include "core/engine/constraint.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/engine/sampler.h"

namespace attnd {
namespace {

absl::Status DeadEnd() {
  return absl::InvalidArgumentError("the grammar goes on with what none of the model's tokens can say");
}

}  // namespace

void Constraint::Check(absl::Status status) {
  failure_ = std::move(status);
  if (failure_.ok() && state_->finished() && !state_->may_end()) failure_ = DeadEnd();
}

bool Constraint::Apply(absl::Span<const int32_t> end_ids, absl::Span<const int32_t> eos_ids,
                       absl::Span<const int32_t> forbidden, absl::Span<float> logits) {
  if (grammar_ == nullptr) return true;
  if (state_ == nullptr) {
    auto started = GrammarState::Start(*grammar_);
    if (started.ok()) state_ = *std::move(started);
    Check(started.status());
    if (over()) return false;  // a grammar of the empty text alone, or of nothing
  }
  std::vector<std::pair<int32_t, float>> ends;
  for (const int32_t id : end_ids) ends.emplace_back(id, state_->may_end() ? logits[id] : kNever);
  for (size_t id = 0; id < logits.size(); ++id) {
    if (!state_->Allows(static_cast<int32_t>(id))) logits[id] = kNever;
  }
  for (const int32_t id : eos_ids) logits[id] = kNever;
  for (const auto& [id, logit] : ends) logits[id] = logit;
  for (const int32_t id : forbidden) logits[id] = kNever;
  // A stop id may be the only text that the grammar allows.
  const bool left = std::any_of(logits.begin(), logits.end(), [](float logit) { return logit > kNever; });
  if (!left) failure_ = DeadEnd();
  return left;
}

void Constraint::Accept(int32_t token) {
  if (state_ != nullptr) Check(state_->Accept(token));
}

}  // namespace attnd
