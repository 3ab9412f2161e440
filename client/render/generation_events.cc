// The events of a generation as JSON lines.
#include "client/render/generation.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

using nlohmann::json;

template <typename List>
json Array(const List& list) {
  return json(std::vector<typename List::value_type>(list.begin(), list.end()));
}

class EventWriter : public GenerationWriter {
 public:
  EventWriter(std::ostream& out, v1::AttentionDType dtype) : out_(out), dtype_(dtype) {}

  absl::Status Take(const v1::GenerateResponse& event) override {
    json line;
    if (event.has_start()) line = Start(event.start());
    if (event.has_delta()) {
      line = Token(event.delta());
      if (event.delta().has_attention()) {
        auto attention = Attention(event.delta().attention());
        if (!attention.ok()) return attention.status();
        line["attention"] = *std::move(attention);
      }
    }
    if (event.has_end()) {
      line = {{"event", "end"},
              {"answer", event.end().answer()},
              {"reason", FinishReasonName(event.end().reason())},
              {"tokens", event.end().tokens()},
              {"seed", event.end().seed()}};
    }
    if (event.has_summary()) line = Summary(event.summary());
    if (!line.is_null()) out_ << line.dump(-1, ' ', false, json::error_handler_t::replace) << "\n" << std::flush;
    return absl::OkStatus();
  }
  void Finish() override {}

 private:
  json Start(const v1::GenerationStart& start) {
    json prompt = json::array(), heads = json::array();
    for (const auto& token : start.prompt()) {
      prompt.push_back({{"id", token.id()},
                        {"text", token.text()},
                        {"begin", token.begin()},
                        {"end", token.end()},
                        {"special", token.special()}});
    }
    heads_ = std::min(start.attention_layers_size(), start.attention_heads_size());
    for (int i = 0; i < heads_; ++i) {
      heads.push_back({{"layer", start.attention_layers(i)}, {"head", start.attention_heads(i)}});
    }
    json line = {{"event", "start"}, {"model", start.model()}, {"prompt", prompt}};
    if (heads_ > 0) line["heads"] = heads;
    return line;
  }

  static json Token(const v1::GenerationDelta& delta) {
    json line = {{"event", "token"},
                 {"answer", delta.answer()},
                 {"index", delta.index()},
                 {"id", delta.id()},
                 {"text", delta.text()}};
    if (delta.has_logprob()) line["logprob"] = delta.logprob();
    if (delta.top_size() > 0) {
      json top = json::array();
      for (const auto& entry : delta.top()) {
        top.push_back({{"id", entry.id()}, {"token", entry.token()}, {"logprob", entry.logprob()}});
      }
      line["top"] = top;
    }
    return line;
  }

  // Dense rows alone: it is what attn asks for.
  absl::StatusOr<json> Attention(const v1::TokenAttention& attention) const {
    json out = {{"query", attention.query()}};
    if (!attention.values().empty()) {
      const auto rows = DenseRows(attention, dtype_, heads_);
      if (!rows.ok()) return rows.status();
      json weights = json::array();
      for (int h = 0; h < heads_; ++h) {
        const auto* row = rows->data() + static_cast<size_t>(h) * attention.columns();
        weights.push_back(std::vector<float>(row, row + attention.columns()));
      }
      out["weights"] = weights;
    }
    if (attention.entropy_size() > 0) out["entropy"] = Array(attention.entropy());
    if (attention.sink_mass_size() > 0) out["sink_mass"] = Array(attention.sink_mass());
    if (attention.lookback_ratio_size() > 0) out["lookback_ratio"] = Array(attention.lookback_ratio());
    if (attention.copy_mass_size() > 0) out["copy_mass"] = Array(attention.copy_mass());
    return out;
  }

  static json Summary(const v1::GenerationSummary& summary) {
    const v1::Timings& t = summary.timings();
    json line = {{"event", "summary"},
                 {"prompt_tokens", summary.prompt_tokens()},
                 {"shared_tokens", summary.shared_tokens()},
                 {"generated_tokens", summary.generated_tokens()},
                 {"time_to_first_token_ms", summary.time_to_first_token_ns() / 1e6},
                 {"timings_ms",
                  {{"tokenise", t.tokenise_ns() / 1e6},
                   {"queue", t.queue_ns() / 1e6},
                   {"compute", t.compute_ns() / 1e6},
                   {"total", t.total_ns() / 1e6}}}};
    if (summary.prompt_logprobs_size() > 0) line["prompt_logprobs"] = Array(summary.prompt_logprobs());
    return line;
  }

  std::ostream& out_;
  const v1::AttentionDType dtype_;
  int heads_ = 0;
};

}  // namespace

std::unique_ptr<GenerationWriter> MakeEventWriter(std::ostream& out, v1::AttentionDType attention_dtype) {
  return std::make_unique<EventWriter>(out, attention_dtype);
}

}  // namespace attnd
