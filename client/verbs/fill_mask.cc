// attn fill-mask: words for the masks of texts.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"
#include "client/verbs/text_batches.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

constexpr char kFillMaskExamples[] = R"(  attn fill-mask "Paris is the [MASK] of France."
  attn fill-mask --top-k 3 "Paris is the <mask> of France."
  attn fill-mask --json @lines.txt)";

struct FillMaskOptions {
  std::vector<std::string> texts;
  TextOptions text;
  uint32_t top_k = 5;
  bool json = false;
};

void Print(const Text& text, const v1::FilledText& answer, bool json, Io& io) {
  if (json) {
    nlohmann::json masks = nlohmann::json::array();
    for (const v1::FilledMask& mask : answer.masks()) {
      nlohmann::json candidates = nlohmann::json::array();
      for (const v1::MaskCandidate& candidate : mask.candidates()) {
        candidates.push_back({{"id", candidate.id()},
                              {"token", candidate.token()},
                              {"score", candidate.score()},
                              {"text", candidate.text()}});
      }
      masks.push_back({{"token", mask.token()}, {"candidates", candidates}});
    }
    io.out << nlohmann::json({{"id", text.number}, {"tokens", answer.tokens()}, {"masks", masks}})
                  .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
           << "\n";
    return;
  }
  io.out << Fit(absl::StrCat(text.number, " ", text.text), io.columns) << "\n";
  for (int m = 0; m < answer.masks_size(); ++m) {
    if (answer.masks_size() > 1) io.out << "  mask " << m + 1 << "\n";
    int width = 1;
    for (const auto& candidate : answer.masks(m).candidates()) width = std::max(width, Width(candidate.token()));
    for (const v1::MaskCandidate& candidate : answer.masks(m).candidates()) {
      const std::string head = absl::StrFormat("  %6.3f  ", candidate.score());
      io.out << head << PadRight(candidate.token(), std::min(width, 30)) << "  "
             << Fit(candidate.text(), std::max(20, io.columns - Width(head) - std::min(width, 30) - 2)) << "\n";
    }
  }
}

int Run(VerbContext& context, const FillMaskOptions& options) {
  return RunTextBatches(context, options.texts, [&](grpc::ClientContext& call, const std::vector<Text>& batch) {
    v1::FillMaskRequest request;
    request.set_model(options.text.model);
    request.set_truncate(options.text.truncation());
    request.set_top_k(options.top_k);
    for (const Text& text : batch) request.add_texts(text.text);
    v1::FillMaskResponse response;
    const grpc::Status status = context.client().stub().FillMask(&call, request, &response);
    return PrintAnswers(status, batch, response,
                        [&](const Text& text, const auto& answer) { Print(text, answer, options.json, context.io); });
  });
}

}  // namespace

void AddFillMask(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<FillMaskOptions>();
  CLI::App* verb = AddVerb(app, context, "fill-mask", "Words for the masks of texts", kFillMaskExamples,
                           [&context, options] { return Run(context, *options); });
  AddTexts(verb, options->texts);
  verb->add_option("--top-k", options->top_k, "Words for each mask")->check(CLI::Range(1, 1000))->capture_default_str();
  verb->add_flag("--json", options->json, "One JSON object a text");
  AddTextOptions(verb, options->text);
}

}  // namespace attnd
