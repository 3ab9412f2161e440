#include "client/verbs/verb.h"

#include <utility>

namespace attnd {
namespace {

constexpr char kMark = '\x01';

}  // namespace

const Client& VerbContext::client() {
  if (client_ == nullptr) client_ = std::make_unique<Client>(channel);
  return *client_;
}

int VerbContext::Fail(const grpc::Status& status) {
  io.out.flush();
  io.err << "attn: " << client().Message(status) << "\n";
  return client().ExitCode(status);
}

int VerbContext::Fail(const absl::Status& status) {
  io.out.flush();
  io.err << "attn: " << status.message() << "\n";
  return status.code() == absl::StatusCode::kUnavailable ? kExitUnreachable : kExitFailed;
}

int VerbContext::Usage(const std::string& message) {
  io.err << "attn: " << message << "\n";
  return kExitUsage;
}

CLI::App* AddVerb(CLI::App& app, VerbContext& context, const std::string& name, const std::string& description,
                  const std::string& examples, std::function<int()> run) {
  CLI::App* verb = app.add_subcommand(name, description);
  verb->footer("Examples:\n" + examples);
  verb->callback([&context, run = std::move(run)] { context.run = run; });
  return verb;
}

std::string MarkVerbatim(const std::string& argument) {
  const bool list = !argument.empty() && argument.front() == '[' && argument.back() == ']';
  return list ? kMark + argument : argument;
}

CLI::Option* Verbatim(CLI::Option* option) {
  return option->transform(
      [](std::string value) { return !value.empty() && value.front() == kMark ? value.substr(1) : value; });
}

v1::Truncation TextOptions::truncation() const {
  if (truncate == "end") return v1::TRUNCATION_END;
  return truncate == "start" ? v1::TRUNCATION_START : v1::TRUNCATION_REFUSE;
}

void AddTextOptions(CLI::App* verb, TextOptions& options) {
  verb->add_option("--model", options.model, "Model; may be left out where one is served");
  verb->add_option("--truncate", options.truncate, "Texts longer than the model takes: refuse, or cut the end or start")
      ->check(CLI::IsMember({"refuse", "end", "start"}))
      ->capture_default_str();
}

}  // namespace attnd
