// attn token-classify: entities of texts and where they stand.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"
#include "client/render/palette.h"
#include "client/verbs/text_batches.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

constexpr char kTokenClassifyExamples[] = R"(  attn token-classify "Ada Lovelace lived in London."
  attn token-classify --aggregation first @lines.txt
  attn token-classify --json < lines.txt > entities.jsonl)";

struct TokenClassifyOptions {
  std::vector<std::string> texts;
  TextOptions text;
  std::string aggregation = "simple";
  bool json = false;
};

v1::EntityAggregation AggregationOf(const std::string& name) {
  if (name == "none") return v1::ENTITY_AGGREGATION_NONE;
  if (name == "first") return v1::ENTITY_AGGREGATION_FIRST;
  if (name == "max") return v1::ENTITY_AGGREGATION_MAX;
  return name == "average" ? v1::ENTITY_AGGREGATION_AVERAGE : v1::ENTITY_AGGREGATION_SIMPLE;
}

// The text with its entities standing out, and each named behind it.
std::string Marked(const std::string& text, const v1::TokenClassifiedText& answer, const Io& io) {
  std::string out;
  size_t at = 0;
  for (const v1::Entity& entity : answer.entities()) {
    if (entity.begin() < at || entity.end() > text.size()) continue;
    absl::StrAppend(&out, text.substr(at, entity.begin() - at), io.colors == Colors::kNone ? "[" : "",
                    Bold(text.substr(entity.begin(), entity.end() - entity.begin()), io.colors),
                    io.colors == Colors::kNone ? "]" : "", Dim(absl::StrCat("/", entity.label()), io.colors));
    at = entity.end();
  }
  return absl::StrCat(out, text.substr(at));
}

void Print(const Text& text, const v1::TokenClassifiedText& answer, bool json, Io& io) {
  if (json) {
    nlohmann::json entities = nlohmann::json::array();
    for (const v1::Entity& entity : answer.entities()) {
      entities.push_back({{"label", entity.label()},
                          {"score", entity.score()},
                          {"text", entity.text()},
                          {"begin", entity.begin()},
                          {"end", entity.end()},
                          {"begin_char", entity.begin_char()},
                          {"end_char", entity.end_char()}});
    }
    io.out << nlohmann::json({{"id", text.number}, {"tokens", answer.tokens()}, {"entities", entities}})
                  .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
           << "\n";
    return;
  }
  // Control characters in the text would drive the terminal.
  std::string clean = text.text;
  for (char& c : clean) c = static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  io.out << text.number << " " << Marked(clean, answer, io) << "\n";
  std::vector<std::vector<std::string>> rows = {{"  label", "score", "characters", "text"}};
  for (const v1::Entity& entity : answer.entities()) {
    rows.push_back({absl::StrCat("  ", entity.label()), absl::StrFormat("%.3f", entity.score()),
                    absl::StrCat(entity.begin_char(), "-", entity.end_char()), Fit(entity.text(), 60)});
  }
  if (rows.size() > 1) io.out << Table(rows, {0, 3});
}

int Run(VerbContext& context, const TokenClassifyOptions& options) {
  return RunTextBatches(context, options.texts, [&](grpc::ClientContext& call, const std::vector<Text>& batch) {
    v1::TokenClassifyRequest request;
    request.set_model(options.text.model);
    request.set_truncate(options.text.truncation());
    request.set_aggregation(AggregationOf(options.aggregation));
    for (const Text& text : batch) request.add_texts(text.text);
    v1::TokenClassifyResponse response;
    const grpc::Status status = context.client().stub().TokenClassify(&call, request, &response);
    return PrintAnswers(status, batch, response,
                        [&](const Text& text, const auto& answer) { Print(text, answer, options.json, context.io); });
  });
}

}  // namespace

void AddTokenClassify(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<TokenClassifyOptions>();
  CLI::App* verb = AddVerb(app, context, "token-classify", "Entities of texts, and where they stand",
                           kTokenClassifyExamples, [&context, options] { return Run(context, *options); });
  AddTexts(verb, options->texts);
  verb->add_option("--aggregation", options->aggregation,
                   "How tokens become entities: none, simple, or by words: first, max, average")
      ->check(CLI::IsMember({"none", "simple", "first", "max", "average"}))
      ->capture_default_str();
  verb->add_flag("--json", options->json, "One JSON object a text");
  AddTextOptions(verb, options->text);
}

}  // namespace attnd
