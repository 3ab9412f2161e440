// attn load, attn unload: models of the server's repository.
#include "client/verbs/verb.h"
#include "inference/grpc_service.grpc.pb.h"

namespace attnd {
namespace {

using inference::GRPCInferenceService;

// `method` of the model `name`; `said` is printed behind the name.
template <typename Request, typename Response>
int Run(VerbContext& context, const std::string& name, const char* said,
        grpc::Status (GRPCInferenceService::Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
  grpc::ClientContext call;
  context.client().Prepare(call);
  Request request;
  request.set_model_name(name);
  Response response;
  const auto stub = GRPCInferenceService::NewStub(context.client().channel());
  const grpc::Status status = (stub.get()->*method)(&call, request, &response);
  if (!status.ok()) return context.Fail(status);
  context.io.out << name << said << "\n";
  return kExitOk;
}

}  // namespace

void AddLoad(CLI::App& app, VerbContext& context) {
  auto name = std::make_shared<std::string>();
  CLI::App* verb = AddVerb(
      app, context, "load", "Serve a folder of the server's --model-repository, or serve it anew", "  attn load minilm",
      [&context, name] { return Run(context, *name, " is served", &GRPCInferenceService::Stub::RepositoryModelLoad); });
  verb->add_option("NAME", *name, "The folder's name")->required();
}

void AddUnload(CLI::App& app, VerbContext& context) {
  auto name = std::make_shared<std::string>();
  CLI::App* verb = AddVerb(
      app, context, "unload", "Serve a model of the repository no longer", "  attn unload minilm", [&context, name] {
        return Run(context, *name, " is served no longer", &GRPCInferenceService::Stub::RepositoryModelUnload);
      });
  verb->add_option("NAME", *name, "The model's name")->required();
}

}  // namespace attnd
