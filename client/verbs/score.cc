// attn score: how probable continuations are.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"
#include "client/input.h"
#include "client/prompt_pieces.h"
#include "client/render/generation.h"
#include "client/render/palette.h"
#include "client/verbs/verb.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

constexpr char kScoreExamples[] = R"(  attn score "The capital of France is" " Paris." " London."
  attn score "2 + 2 =" @answers.txt --json
  attn score --tokens "The cat" " sat on the mat."

A continuation is joined to the text as it is: most begin with a space.)";

struct ScoreOptions {
  std::string text;
  std::vector<std::string> continuations;
  std::string model;
  bool no_special = false;
  bool tokens = false;
  bool json = false;
};

std::string Json(const v1::ScoreRequest& request, const v1::ScoreResponse& response) {
  nlohmann::json list = nlohmann::json::array();
  for (int i = 0; i < response.continuations_size(); ++i) {
    const v1::ScoredText& scored = response.continuations(i);
    nlohmann::json tokens = nlohmann::json::array();
    for (int t = 0; t < std::min(scored.tokens_size(), scored.logprobs_size()); ++t) {
      tokens.push_back(
          {{"id", scored.tokens(t).id()}, {"text", scored.tokens(t).text()}, {"logprob", scored.logprobs(t)}});
    }
    list.push_back({{"text", request.continuations(i)},
                    {"logprob", scored.logprob()},
                    {"greedy", scored.greedy()},
                    {"tokens", tokens}});
  }
  const nlohmann::json out = {{"model", response.model()}, {"tokens", response.tokens()}, {"continuations", list}};
  return out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string ScoreTable(const v1::ScoreRequest& request, const v1::ScoreResponse& response, const Io& io) {
  int best = 0;
  for (int i = 1; i < response.continuations_size(); ++i) {
    if (response.continuations(i).logprob() > response.continuations(best).logprob()) best = i;
  }
  std::string out = Bold("  logprob  per token  tokens  greedy  continuation", io.colors) + "\n";
  for (int i = 0; i < response.continuations_size(); ++i) {
    const v1::ScoredText& scored = response.continuations(i);
    const int count = std::max(1, scored.tokens_size());
    const std::string head = absl::StrFormat("%9.3f  %9.3f  %6d  %6s  ", scored.logprob(), scored.logprob() / count,
                                             scored.tokens_size(), scored.greedy() ? "yes" : "no");
    const std::string text = Fit(VisibleToken(request.continuations(i)), std::max(12, io.columns - Width(head)));
    absl::StrAppend(&out, head, i == best && response.continuations_size() > 1 ? Bold(text, io.colors) : text, "\n");
  }
  return out;
}

std::string TokenTable(const v1::ScoredText& scored, const std::string& continuation) {
  const std::vector<std::string> pieces = PromptPieces(scored.tokens(), &continuation);
  std::vector<std::vector<std::string>> rows = {{"token", "logprob"}};
  for (int t = 0; t < std::min(scored.tokens_size(), scored.logprobs_size()); ++t) {
    rows.push_back({Fit(VisibleToken(pieces[t]), 40), absl::StrFormat("%.3f", scored.logprobs(t))});
  }
  return Table(rows, {0});
}

int Run(VerbContext& context, const ScoreOptions& options) {
  Io& io = context.io;
  if (options.continuations.empty() && io.in_terminal) {
    return context.Usage("no continuation: pass one, @FILE, or lines on standard input");
  }
  v1::ScoreRequest request;
  const auto text = ReadText(options.text, io);
  if (!text.ok()) return context.Fail(text.status());
  request.set_model(options.model);
  request.set_text(*text);
  request.set_add_special_tokens(!options.no_special);
  TextSource source(options.continuations, io);
  for (Text line; source.Next(line);) {
    if (!IsUtf8(line.text)) return context.Fail(absl::InvalidArgumentError(absl::StrCat(line.place, " is not UTF-8")));
    request.add_continuations(line.text);
  }
  if (!source.status().ok()) return context.Fail(source.status());
  grpc::ClientContext call;
  context.client().Prepare(call);
  v1::ScoreResponse response;
  const grpc::Status status = context.client().stub().Score(&call, request, &response);
  if (!status.ok()) return context.Fail(status);
  if (response.continuations_size() != request.continuations_size()) {
    return context.Fail(absl::DataLossError("the server scored another number of continuations"));
  }
  if (options.json) {
    io.out << Json(request, response);
    return kExitOk;
  }
  io.out << ScoreTable(request, response, io);
  for (int i = 0; options.tokens && i < response.continuations_size(); ++i) {
    io.out << "\n" << TokenTable(response.continuations(i), request.continuations(i));
  }
  return kExitOk;
}

}  // namespace

void AddScore(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<ScoreOptions>();
  CLI::App* verb = AddVerb(app, context, "score", "How probable continuations of a text are", kScoreExamples,
                           [&context, options] { return Run(context, *options); });
  Verbatim(verb->add_option("TEXT", options->text, "What they go on from; @FILE: a whole file")->required());
  Verbatim(verb->add_option("CONTINUATION", options->continuations,
                            "Continuations; @FILE: the lines of a file; -: of standard input, the default"));
  verb->add_option("--model", options->model, "Model; may be left out where one is served");
  verb->add_flag("--no-special", options->no_special, "No beginning-of-text token");
  verb->add_flag("--tokens", options->tokens, "The log-probability of each token, too");
  verb->add_flag("--json", options->json, "As JSON, each token with it");
}

}  // namespace attnd
