// attn tokenize: how texts fall into tokens.
#include "absl/strings/str_cat.h"
#include "client/format.h"
#include "client/input.h"
#include "client/render/palette.h"
#include "client/verbs/verb.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

constexpr char kTokenizeExamples[] = R"(  attn tokenize "Attention is all you need."
  attn tokenize --ids @lines.txt
  attn tokenize --json "Attention is all you need.")";

struct TokenizeOptions {
  std::vector<std::string> texts;
  TextOptions model;
  bool no_special = false;
  bool ids = false;
  bool json = false;
};

// The tokens side by side, on colours in turn.
std::string Ribbon(const v1::TokenizedText& text, const Io& io) {
  std::string out;
  for (int i = 0; i < text.tokens_size(); ++i) {
    const v1::Token& token = text.tokens(i);
    const std::string label = Fit(token.text(), 40);
    if (io.colors == Colors::kNone) {
      absl::StrAppend(&out, i == 0 ? "" : " ", label);
    } else {
      absl::StrAppend(&out, token.special()
                                ? Dim(absl::StrCat(" ", label, " "), io.colors)
                                : OnLevel(absl::StrCat(" ", label, " "), i % 2 == 0 ? 0.3 : 0.5, io.colors));
    }
  }
  return out + "\n";
}

std::string TokenTable(const v1::TokenizedText& text) {
  std::vector<std::vector<std::string>> rows = {{"#", "id", "token", "bytes", "word"}};
  for (int i = 0; i < text.tokens_size(); ++i) {
    const v1::Token& token = text.tokens(i);
    rows.push_back({absl::StrCat(i), absl::StrCat(token.id()), Fit(token.text(), 40),
                    token.special() ? "special" : absl::StrCat(token.begin(), "-", token.end()),
                    token.word() < 0 ? "-" : absl::StrCat(token.word())});
  }
  return Table(rows, {2});
}

std::string Json(const v1::TokenizedText& text) {
  nlohmann::json tokens = nlohmann::json::array();
  for (const v1::Token& token : text.tokens()) {
    tokens.push_back({{"id", token.id()},
                      {"text", token.text()},
                      {"begin", token.begin()},
                      {"end", token.end()},
                      {"special", token.special()},
                      {"word", token.word()}});
  }
  return nlohmann::json({{"tokens", tokens}}).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

int Run(VerbContext& context, const TokenizeOptions& options) {
  Io& io = context.io;
  if (options.texts.empty() && io.in_terminal) return context.Usage("no text: pass one, @FILE, or standard input");
  TextSource source(options.texts, io);
  Text text;
  bool failed = false;
  while (source.Next(text)) {
    v1::TokenizeRequest request;
    request.set_model(options.model.model);
    request.set_truncate(options.model.truncation());
    request.set_add_special_tokens(!options.no_special);
    request.add_texts(text.text);
    if (!IsUtf8(text.text)) {
      io.err << "attn: " << text.place << ": INVALID_ARGUMENT: the text is not UTF-8\n";
      failed = true;
      continue;
    }
    grpc::ClientContext call;
    context.client().Prepare(call);
    v1::TokenizeResponse response;
    const grpc::Status status = context.client().stub().Tokenize(&call, request, &response);
    if (context.client().ExitCode(status) == kExitUnreachable && !status.ok()) return context.Fail(status);
    if (!status.ok() || response.texts_size() != 1) {
      io.err << "attn: " << text.place << ": " << context.client().Message(status) << "\n";
      failed = true;
      continue;
    }
    const v1::TokenizedText& tokens = response.texts(0);
    if (options.json) {
      io.out << Json(tokens);
    } else if (options.ids) {
      for (int i = 0; i < tokens.tokens_size(); ++i) io.out << (i == 0 ? "" : " ") << tokens.tokens(i).id();
      io.out << "\n";
    } else {
      io.out << Ribbon(tokens, io) << TokenTable(tokens) << Count(tokens.tokens_size(), "token") << "\n";
    }
  }
  if (!source.status().ok()) return context.Fail(source.status());
  return failed ? kExitFailed : kExitOk;
}

}  // namespace

void AddTokenize(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* verb = AddVerb(app, context, "tokenize", "How texts fall into tokens", kTokenizeExamples,
                           [&context, options] { return Run(context, *options); });
  Verbatim(
      verb->add_option("TEXT", options->texts, "Texts; @FILE: the lines of a file; -: of standard input, the default"));
  verb->add_flag("--no-special", options->no_special, "Without [CLS] and [SEP]");
  verb->add_flag("--ids", options->ids, "The numbers alone, a line a text");
  verb->add_flag("--json", options->json, "One JSON object a text");
  AddTextOptions(verb, options->model);
}

}  // namespace attnd
