// attn heads: what each head does, a line each.
#include "client/render/heads.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/format.h"
#include "client/input.h"
#include "client/maps.h"
#include "client/verbs/verb.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

constexpr char kHeadsExamples[] = R"(  attn heads "The cat sat on the mat because it was tired."
  attn heads "The cat sat on the mat because it was tired." --sort previous --top 5
  attn heads "The cat sat on the mat because it was tired." --from it --to cat
  attn heads "Mary met John at the old mill. Mary met John at the old mill." --sort induction --top 5

entropy: of a row's weights, in nats, and as a bar beside the most there could be. top: a row's largest weight. dist: tokens
between who asks and who answers. self, prev, next, special: weight on the token itself, its neighbours, [CLS] and [SEP].
induct, dup, where a token repeats: weight on what followed its earlier occurrences, and on these.)";

struct HeadsOptions {
  std::string text;
  TextOptions model;
  std::string sort;
  std::string from;
  std::string to;
  int top = 0;
  bool json = false;
};

// The token range of two words, for a request that brings only their weights.
absl::Status Between(VerbContext& context, const HeadsOptions& options, const std::string& text,
                     v1::AttentionSpec& spec, grpc::Status& status) {
  v1::TokenizeRequest request;
  request.set_model(options.model.model);
  request.add_texts(text);
  request.set_truncate(options.model.truncation());
  grpc::ClientContext call;
  context.client().Prepare(call);
  v1::TokenizeResponse response;
  status = context.client().stub().Tokenize(&call, request, &response);
  if (!status.ok()) return absl::UnknownError("the call failed");
  if (response.texts_size() != 1) return absl::DataLossError("the server answered for another number of texts");
  const auto& tokens = response.texts(0).tokens();
  const auto words = WordsOf({tokens.begin(), tokens.end()}, text);
  for (const auto& [name, range] :
       {std::pair(options.from, spec.mutable_queries()), std::pair(options.to, spec.mutable_keys())}) {
    const auto word = FindWord(words, name);
    if (!word.ok()) return word.status();
    range->set_begin(word->begin_token);
    range->set_end(word->end_token);
  }
  return absl::OkStatus();
}

// Mean over the pieces that ask of the sum over the pieces that answer.
float Weight(const Matrix& weights) {
  double sum = 0;
  for (const float weight : weights.values) sum += weight;
  return weights.rows > 0 ? static_cast<float>(sum / weights.rows) : 0;
}

std::string Json(const std::vector<HeadRow>& rows) {
  std::string out;
  for (const HeadRow& row : rows) {
    nlohmann::json line = HeadJson(row.statistics, row.kind);
    if (row.weight >= 0) line["weight"] = row.weight;
    out += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  return out;
}

int Run(VerbContext& context, const HeadsOptions& options) {
  if (options.from.empty() != options.to.empty()) return context.Usage("--from and --to go together");
  const bool between = !options.from.empty();
  const std::string sort = !options.sort.empty() ? options.sort : between ? "weight" : "layer";
  std::vector<HeadRow> rows;
  if (const absl::Status known = SortHeads(rows, sort); !known.ok()) return context.Usage(std::string(known.message()));
  const auto text = ReadText(options.text, context.io);
  if (!text.ok()) return context.Fail(text.status());

  v1::AttendRequest request;
  request.set_model(options.model.model);
  request.set_text(*text);
  request.set_truncate(options.model.truncation());
  v1::AttentionSpec& spec = *request.mutable_attention();
  spec.set_content(between ? v1::ATTENTION_CONTENT_MAPS_AND_STATISTICS : v1::ATTENTION_CONTENT_STATISTICS);
  AddStatistics(spec);
  grpc::Status status;
  if (between) {
    const absl::Status found = Between(context, options, *text, spec, status);
    if (!status.ok()) return context.Fail(status);
    if (!found.ok()) return context.Usage(std::string(found.message()));
  }
  const auto maps = Attend(context.client(), request, status);
  if (!status.ok()) return context.Fail(status);
  if (!maps.ok()) return context.Fail(maps.status());
  for (const auto& head : maps->statistics) {
    HeadRow row{head, HeadKind(head, maps->tokens)};
    for (const HeadMap& map : maps->maps) {
      if (map.layer == head.layer && map.head == head.head) row.weight = Weight(map.weights);
    }
    rows.push_back(std::move(row));
  }
  if (const absl::Status sorted = SortHeads(rows, sort); !sorted.ok()) return context.Fail(sorted);
  if (options.top > 0 && rows.size() > static_cast<size_t>(options.top)) rows.resize(options.top);
  if (options.json) {
    context.io.out << Json(rows);
    return kExitOk;
  }
  context.io.out << HeadTable(rows, context.io);
  if (between) {
    context.io.out << absl::StrFormat("weight: how much '%s' attends to '%s'\n", Fit(options.from, 30),
                                      Fit(options.to, 30));
  }
  return kExitOk;
}

}  // namespace

void AddHeads(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<HeadsOptions>();
  CLI::App* verb = AddVerb(app, context, "heads", "What each head does with a text, a line each", kHeadsExamples,
                           [&context, options] { return Run(context, *options); });
  Verbatim(verb->add_option("TEXT", options->text, "The text; @FILE; - for standard input"))->required();
  verb->add_option("--sort", options->sort, absl::StrCat("By ", absl::StrJoin(kHeadSortKeys, ", ")));
  Verbatim(verb->add_option("--from", options->from, "Rank heads by the weight from this word (or token #N) ..."));
  Verbatim(verb->add_option("--to", options->to, "... to this one"));
  verb->add_option("--top", options->top, "Only the first N lines")->check(CLI::NonNegativeNumber);
  verb->add_flag("--json", options->json, "One JSON object a line");
  AddTextOptions(verb, options->model);
}

}  // namespace attnd
