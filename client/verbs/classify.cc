// attn classify: scores of a model's labels for texts or pairs of texts.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"
#include "client/verbs/text_batches.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

constexpr char kClassifyExamples[] = R"(  attn classify "What a lovely film." "It rained all day."
  attn classify --top-k 1 @reviews.txt
  printf 'He sleeps.\tHe is awake.\n' | attn classify --pairs
  attn classify --json < lines.txt > out.jsonl)";

struct ClassifyOptions {
  std::vector<std::string> texts;
  TextOptions text;
  bool pairs = false;
  uint32_t top_k = 0;
  bool raw = false;
  bool json = false;
};

void Print(const Text& text, const v1::ClassifiedText& answer, bool json, Io& io) {
  if (json) {
    nlohmann::json labels = nlohmann::json::array();
    for (const v1::LabelScore& label : answer.labels()) {
      labels.push_back({{"label", label.label()}, {"id", label.id()}, {"score", label.score()}});
    }
    io.out << nlohmann::json({{"id", text.number}, {"tokens", answer.tokens()}, {"labels", labels}}).dump() << "\n";
    return;
  }
  io.out << Fit(absl::StrCat(text.number, " ", text.text), io.columns) << "\n";
  int width = 5;
  for (const v1::LabelScore& label : answer.labels()) width = std::max(width, std::min(40, Width(label.label())));
  for (const v1::LabelScore& label : answer.labels()) {
    io.out << "  " << PadRight(label.label(), width) << absl::StrFormat("  %6.3f", label.score()) << "\n";
  }
}

int Run(VerbContext& context, const ClassifyOptions& options) {
  return RunTextBatches(context, options.texts,
                        [&](grpc::ClientContext& call, const std::vector<Text>& batch) -> grpc::Status {
                          v1::ClassifyRequest request;
                          request.set_model(options.text.model);
                          request.set_truncate(options.text.truncation());
                          request.set_top_k(options.top_k);
                          request.set_raw_scores(options.raw);
                          for (const Text& text : batch) {
                            const size_t tab = options.pairs ? text.text.find('\t') : std::string::npos;
                            if (options.pairs && tab == std::string::npos) {
                              return {grpc::StatusCode::INVALID_ARGUMENT, "a pair needs a tab between its two texts"};
                            }
                            request.add_texts(text.text.substr(0, tab));
                            if (options.pairs) request.add_text_pairs(text.text.substr(tab + 1));
                          }
                          v1::ClassifyResponse response;
                          const grpc::Status status = context.client().stub().Classify(&call, request, &response);
                          return PrintAnswers(status, batch, response, [&](const Text& text, const auto& answer) {
                            Print(text, answer, options.json, context.io);
                          });
                        });
}

}  // namespace

void AddClassify(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<ClassifyOptions>();
  CLI::App* verb = AddVerb(app, context, "classify", "Scores of the model's labels for texts or pairs",
                           kClassifyExamples, [&context, options] { return Run(context, *options); });
  AddTexts(verb, options->texts);
  verb->add_flag("--pairs", options->pairs, "Each text is two, with a tab between them");
  verb->add_option("--top-k", options->top_k, "The best labels only; 0: all")->capture_default_str();
  verb->add_flag("--raw", options->raw, "Logits, without softmax or sigmoid");
  verb->add_flag("--json", options->json, "One JSON object a text");
  AddTextOptions(verb, options->text);
}

}  // namespace attnd
