#include "server/rpc/estimate_call.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/attention_spec.h"
#include "server/rpc/replies.h"

namespace attnd {

void EstimateCall::Run() {
  if (const absl::Status status = Estimate(); !status.ok()) return Fail(status);
  job_.EndRespond();
  monitor_.SetModel(job_.served_model());
  monitor_.Observe(job_.times(), 1, response_.tokens());
  Respond(response_);
}

absl::Status EstimateCall::Estimate() {
  if (absl::Status status = job_.ResolveAnyModel(request_.model()); !status.ok()) return status;
  const ModelShape shape = job_.served().shape();
  const auto spec = ToAttentionSpec(request_.attention(), shape.layers, shape.heads);
  if (!spec.ok()) return spec.status();
  Encoding encoding;
  if (absl::Status status = Tokens(encoding); !status.ok()) return status;
  const auto plan = AttentionPlan::Make(*spec, {.layers = shape.layers,
                                                .heads = shape.heads,
                                                .tokens = encoding.tokens(),
                                                .special = encoding.special,
                                                .word_ids = encoding.word_ids});
  if (!plan.ok()) return AttentionError(plan.status(), "attention");
  response_.set_tokens(static_cast<uint32_t>(encoding.tokens()));
  FillAttentionHeader(**plan, *response_.mutable_attention());
  const AttentionSizes& sizes = (*plan)->sizes();
  response_.set_statistics_bytes(static_cast<uint64_t>(sizes.statistics));
  response_.set_memory_bytes(static_cast<uint64_t>(sizes.total()));
  uint64_t limit = static_cast<uint64_t>(context_.limits.max_attention_bytes);
  if (request_.attention().max_bytes() > 0) limit = std::min(limit, uint64_t{request_.attention().max_bytes()});
  response_.set_max_bytes(limit);
  response_.set_allowed(response_.memory_bytes() <= limit);
  return absl::OkStatus();
}

absl::Status EstimateCall::Tokens(Encoding& encoding) {
  if (request_.input_case() == v1::EstimateAttentionRequest::kText) {
    const auto truncate = ToTruncate(request_.truncate());
    if (!truncate.ok()) return truncate.status();
    if (absl::Status status = job_.TokeniseOne(request_.text(), *truncate, "text"); !status.ok()) return status;
    encoding = std::move(job_.sequences()[0].encoding);
    return absl::OkStatus();
  }
  if (request_.input_case() != v1::EstimateAttentionRequest::kTokens) {
    return FieldError("input", "text or tokens is needed");
  }
  const uint32_t limit = static_cast<uint32_t>(job_.served().shape().max_tokens);
  if (request_.tokens() < 1 || request_.tokens() > limit) {
    return FieldError("tokens", absl::StrCat(request_.tokens(), ": at least 1, at most ", limit));
  }
  encoding.ids.resize(request_.tokens());
  encoding.special.resize(request_.tokens());
  encoding.word_ids.resize(request_.tokens());
  std::iota(encoding.word_ids.begin(), encoding.word_ids.end(), 0);
  job_.EndValidate();
  return absl::OkStatus();
}

}  // namespace attnd
