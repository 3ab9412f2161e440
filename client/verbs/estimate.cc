// attn estimate: how large maps would be, without running the model.
#include "absl/strings/str_cat.h"
#include "client/format.h"
#include "client/input.h"
#include "client/maps.h"
#include "client/verbs/attention_options.h"
#include "client/verbs/verb.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

constexpr char kEstimateExamples[] = R"(  attn estimate "The cat sat on the mat because it was tired."
  attn estimate --tokens 512 --head L3H5
  attn estimate @text.txt --top-k 8)";

struct EstimateOptions {
  std::string text;
  uint32_t tokens = 0;
  TextOptions model;
  AttentionOptions attention;
  uint32_t top_k = 0;
  bool json = false;
};

constexpr std::pair<const char*, v1::AttentionDType> kDTypes[] = {
    {"f32", v1::ATTENTION_DTYPE_F32}, {"f16", v1::ATTENTION_DTYPE_F16}, {"u8", v1::ATTENTION_DTYPE_U8}};

int Run(VerbContext& context, const EstimateOptions& options) {
  if (options.text.empty() == (options.tokens == 0)) return context.Usage("pass a text or --tokens");
  auto spec = MakeSpec(options.attention);
  if (!spec.ok()) return context.Usage(std::string(spec.status().message()));
  v1::EstimateAttentionRequest request;
  request.set_model(options.model.model);
  request.set_truncate(options.model.truncation());
  if (options.tokens > 0) {
    request.set_tokens(options.tokens);
  } else {
    const auto text = ReadText(options.text, context.io);
    if (!text.ok()) return context.Fail(text.status());
    request.set_text(*text);
  }
  if (options.top_k > 0) {
    spec->set_layout(v1::ATTENTION_LAYOUT_TOP_K);
    spec->set_top_k(options.top_k);
  }
  spec->set_content(v1::ATTENTION_CONTENT_MAPS_AND_STATISTICS);  // as attend asks
  AddStatistics(*spec);
  std::vector<std::vector<std::string>> rows = {{"dtype", "maps", "", "memory", "allowed"}};
  nlohmann::json json;
  bool allowed = true;
  v1::EstimateAttentionResponse response;
  for (const auto& [name, dtype] : kDTypes) {
    spec->set_dtype(dtype);
    *request.mutable_attention() = *spec;
    grpc::ClientContext call;
    context.client().Prepare(call);
    const grpc::Status status = context.client().stub().EstimateAttention(&call, request, &response);
    if (!status.ok()) return context.Fail(status);
    const uint64_t bytes = response.attention().total_bytes();
    rows.push_back(
        {name, Thousands(bytes), Bytes(bytes), Bytes(response.memory_bytes()), response.allowed() ? "yes" : "no"});
    json["bytes"][name] = bytes;
    json["memory_bytes"][name] = response.memory_bytes();
    json["allowed"][name] = response.allowed();
    if (dtype == v1::ATTENTION_DTYPE_F32) allowed = response.allowed();
  }
  json.update({{"tokens", response.tokens()},
               {"maps", response.attention().map_layers_size()},
               {"rows", response.attention().rows()},
               {"columns", response.attention().columns()},
               {"statistics_bytes", response.statistics_bytes()},
               {"max_bytes", response.max_bytes()}});
  if (options.json) {
    context.io.out << json.dump() << "\n";
  } else {
    context.io.out << Count(response.tokens(), "token") << ", " << Count(response.attention().map_layers_size(), "map")
                   << " of " << response.attention().rows() << " x " << response.attention().columns() << "; at most "
                   << Bytes(response.max_bytes()) << " a call\n"
                   << Table(rows, {0}) << "statistics beside them: " << Bytes(response.statistics_bytes()) << "\n";
  }
  return allowed ? kExitOk : kExitFailed;
}

}  // namespace

void AddEstimate(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<EstimateOptions>();
  CLI::App* verb =
      AddVerb(app, context, "estimate", "How large maps would be, without running the model; exit code 1: too large",
              kEstimateExamples, [&context, options] { return Run(context, *options); });
  Verbatim(verb->add_option("TEXT", options->text, "The text; @FILE; - for standard input"));
  verb->add_option("--tokens", options->tokens, "Instead of a text: its tokens, special ones included")
      ->check(CLI::PositiveNumber);
  AddAttentionOptions(verb, options->attention);
  verb->add_option("--top-k", options->top_k, "Only the largest K weights of each row")->check(CLI::PositiveNumber);
  verb->add_flag("--json", options->json, "As JSON");
  AddTextOptions(verb, options->model);
}

}  // namespace attnd
