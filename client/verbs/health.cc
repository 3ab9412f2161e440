// attn health: is the server, or a model of it, well? For people, scripts and HEALTHCHECK.
#include "client/verbs/verb.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace attnd {
namespace {

constexpr char kHealthExamples[] = R"(  attn health
  attn health --model minilm --quiet && echo ready

Exit codes: 0 serving, 1 not serving or unknown, 3 unreachable.)";

struct HealthOptions {
  std::string model;
  std::string service;
  bool quiet = false;
};

int Run(VerbContext& context, const HealthOptions& options) {
  namespace health = grpc::health::v1;
  health::HealthCheckRequest request;
  const std::string& name = options.model.empty() ? options.service : options.model;
  request.set_service(name);
  context.channel.watch_health = false;  // or nobody would be asked who is not serving
  grpc::ClientContext call;
  context.client().Prepare(call);
  health::HealthCheckResponse response;
  const auto stub = health::Health::NewStub(context.client().channel());
  const grpc::Status status = stub->Check(&call, request, &response);
  if (status.error_code() == grpc::StatusCode::NOT_FOUND) {
    context.io.err << "attn: '" << name << "' is no service and no model of " << context.client().address() << "\n";
    return kExitFailed;
  }
  if (!status.ok()) return context.Fail(status);
  const bool serving = response.status() == health::HealthCheckResponse::SERVING;
  if (!options.quiet) {
    context.io.out << (name.empty() ? context.client().address() : name) << ": "
                   << health::HealthCheckResponse::ServingStatus_Name(response.status()) << "\n";
  }
  return serving ? kExitOk : kExitFailed;
}

}  // namespace

void AddHealth(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<HealthOptions>();
  CLI::App* verb = AddVerb(app, context, "health", "Whether the server, or a model, is serving", kHealthExamples,
                           [&context, options] { return Run(context, *options); });
  CLI::Option* model = verb->add_option("--model", options->model, "Ask for this model");
  verb->add_option("--service", options->service, "Ask for this gRPC service, such as attnd.v1.Attnd")->excludes(model);
  verb->add_flag("-q,--quiet", options->quiet, "Exit code only");
}

}  // namespace attnd
