// attn models: what the server serves.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/format.h"
#include "client/render/palette.h"
#include "client/verbs/verb.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

int Run(VerbContext& context, bool json) {
  grpc::ClientContext call;
  context.client().Prepare(call);
  v1::ListModelsResponse response;
  const grpc::Status status = context.client().stub().ListModels(&call, {}, &response);
  if (!status.ok()) return context.Fail(status);
  if (json) {
    nlohmann::json models = nlohmann::json::array();
    for (const auto& model : response.models()) {
      models.push_back({{"name", model.name()},
                        {"architecture", model.architecture()},
                        {"precision", model.precision()},
                        {"cpu_path", model.cpu_path()},
                        {"dimensions", model.dimensions()},
                        {"layers", model.layers()},
                        {"heads", model.heads()},
                        {"max_tokens", model.max_tokens()},
                        {"vocabulary_size", model.vocabulary_size()},
                        {"pooling", model.pooling()},
                        {"normalize", model.normalize()},
                        {"weight_bytes", model.weight_bytes()},
                        {"task", model.task()},
                        {"prompts", std::map<std::string, std::string>(model.prompts().begin(), model.prompts().end())},
                        {"default_prompt", model.default_prompt()},
                        {"labels", std::vector<std::string>(model.labels().begin(), model.labels().end())},
                        {"calls", std::vector<std::string>(model.calls().begin(), model.calls().end())}});
    }
    const auto& limits = response.limits();
    context.io.out << nlohmann::json({{"models", models},
                                      {"server_version", response.server_version()},
                                      {"limits",
                                       {{"max_texts_per_call", limits.max_texts_per_call()},
                                        {"max_text_bytes", limits.max_text_bytes()},
                                        {"max_message_bytes", limits.max_message_bytes()},
                                        {"max_attention_bytes", limits.max_attention_bytes()},
                                        {"max_attention_memory_bytes", limits.max_attention_memory_bytes()},
                                        {"max_queue_tokens", limits.max_queue_tokens()},
                                        {"max_queue_requests", limits.max_queue_requests()}}}})
                          .dump()
                   << "\n";
    return kExitOk;
  }
  std::vector<std::vector<std::string>> rows = {
      {"model", "task", "architecture", "precision", "shape", "tokens", "weights"}};
  std::set<std::string> paths;
  const auto number = [](int64_t value) { return value > 0 ? Thousands(value) : std::string("-"); };
  for (const auto& model : response.models()) {
    rows.push_back(
        {model.name(), model.task().empty() ? "-" : model.task(), model.architecture(), model.precision(),
         model.layers() > 0 ? absl::StrCat(model.layers(), " x ", model.heads(), " x ", model.dimensions()) : "-",
         number(model.max_tokens()), model.weight_bytes() > 0 ? Bytes(model.weight_bytes()) : "-"});
    paths.insert(model.cpu_path());
  }
  const auto& limits = response.limits();
  context.io.out << Table(rows, {0, 1, 2, 3})
                 << Dim(absl::StrCat("attnd ", response.server_version(), " at ", context.client().address(), " on ",
                                     absl::StrJoin(paths, ", "), "; at most ",
                                     Count(limits.max_texts_per_call(), "text"), " a call, ",
                                     Bytes(limits.max_text_bytes()), " a text, ", Bytes(limits.max_attention_bytes()),
                                     " of maps a call; shape: layers x heads x dimensions"),
                        context.io.colors)
                 << "\n";
  return kExitOk;
}

}  // namespace

void AddModels(CLI::App& app, VerbContext& context) {
  auto json = std::make_shared<bool>(false);
  CLI::App* verb = AddVerb(app, context, "models", "What the server serves, and its limits",
                           "  attn models\n  attn models --json", [&context, json] { return Run(context, *json); });
  verb->add_flag("--json", *json, "As JSON");
}

}  // namespace attnd
