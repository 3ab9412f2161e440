// attn rerank: documents by how well they answer a query.
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"
#include "client/input.h"
#include "client/verbs/text_batches.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

constexpr char kRerankExamples[] = R"(  attn rerank "Who wrote Faust?" "Goethe wrote Faust." "Rain is expected."
  attn rerank "Who wrote Faust?" @documents.txt --top-n 5
  attn rerank "Who wrote Faust?" --json < documents.txt)";

struct RerankOptions {
  std::string query;
  std::vector<std::string> documents;
  TextOptions text;
  uint32_t top_n = 0;
  bool raw = false;
  bool json = false;
};

int Run(VerbContext& context, const RerankOptions& options) {
  Io& io = context.io;
  if (options.documents.empty() && io.in_terminal) {
    return context.Usage("no document: pass one, @FILE, or lines on standard input");
  }
  v1::RerankRequest request;
  request.set_model(options.text.model);
  request.set_truncate(options.text.truncation());
  request.set_query(options.query);
  request.set_top_n(options.top_n);
  request.set_raw_scores(options.raw);
  TextSource source(options.documents, io);
  for (Text text; source.Next(text);) {
    if (!IsUtf8(text.text)) return context.Fail(absl::InvalidArgumentError(absl::StrCat(text.place, " is not UTF-8")));
    request.add_documents(text.text);
  }
  if (!source.status().ok()) return context.Fail(source.status());
  grpc::ClientContext call;
  context.client().Prepare(call);
  v1::RerankResponse response;
  const grpc::Status status = context.client().stub().Rerank(&call, request, &response);
  if (!status.ok()) return context.Fail(status);
  for (const v1::RankedDocument& result : response.results()) {
    if (result.index() < static_cast<uint32_t>(request.documents_size())) continue;
    return context.Fail(absl::DataLossError("the server ranked a document that was not sent"));
  }
  if (options.json) {
    nlohmann::json results = nlohmann::json::array();
    for (const v1::RankedDocument& result : response.results()) {
      results.push_back({{"index", result.index()}, {"score", result.score()}, {"tokens", result.tokens()}});
    }
    io.out << nlohmann::json({{"model", response.model()}, {"results", results}}).dump() << "\n";
    return kExitOk;
  }
  for (const v1::RankedDocument& result : response.results()) {
    const std::string head = absl::StrFormat("%7.4f  %s ", result.score(), PadLeft(absl::StrCat(result.index()), 4));
    io.out << head << Fit(request.documents(static_cast<int>(result.index())), std::max(20, io.columns - Width(head)))
           << "\n";
  }
  return kExitOk;
}

}  // namespace

void AddRerank(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<RerankOptions>();
  CLI::App* verb = AddVerb(app, context, "rerank", "Documents by how well they answer a query", kRerankExamples,
                           [&context, options] { return Run(context, *options); });
  Verbatim(verb->add_option("QUERY", options->query, "The query")->required());
  Verbatim(verb->add_option("DOCUMENT", options->documents,
                            "Documents; @FILE: the lines of a file; -: of standard input, the default"));
  verb->add_option("--top-n", options->top_n, "The best documents only; 0: all")->capture_default_str();
  verb->add_flag("--raw", options->raw, "Logits, without the sigmoid");
  verb->add_flag("--json", options->json, "As JSON: index, score and tokens, the best first");
  AddTextOptions(verb, options->text);
}

}  // namespace attnd
