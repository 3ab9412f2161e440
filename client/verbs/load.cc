// attn load, attn unload: models of the server's repository.
#include "client/verbs/verb.h"
#include "inference/grpc_service.grpc.pb.h"

namespace attnd {
namespace {

using inference::GRPCInferenceService;

int Load(VerbContext& context, const std::string& name) {
  grpc::ClientContext call;
  context.client().Prepare(call);
  inference::RepositoryModelLoadRequest request;
  request.set_model_name(name);
  inference::RepositoryModelLoadResponse response;
  const auto stub = GRPCInferenceService::NewStub(context.client().channel());
  const grpc::Status status = stub->RepositoryModelLoad(&call, request, &response);
  if (!status.ok()) return context.Fail(status);
  context.io.out << name << " is served\n";
  return kExitOk;
}

int Unload(VerbContext& context, const std::string& name) {
  grpc::ClientContext call;
  context.client().Prepare(call);
  inference::RepositoryModelUnloadRequest request;
  request.set_model_name(name);
  inference::RepositoryModelUnloadResponse response;
  const auto stub = GRPCInferenceService::NewStub(context.client().channel());
  const grpc::Status status = stub->RepositoryModelUnload(&call, request, &response);
  if (!status.ok()) return context.Fail(status);
  context.io.out << name << " is served no longer\n";
  return kExitOk;
}

}  // namespace

void AddLoad(CLI::App& app, VerbContext& context) {
  auto name = std::make_shared<std::string>();
  CLI::App* verb = AddVerb(app, context, "load", "Serve a folder of the server's --model-repository, or serve it anew",
                           "  attn load minilm", [&context, name] { return Load(context, *name); });
  verb->add_option("NAME", *name, "The folder's name")->required();
}

void AddUnload(CLI::App& app, VerbContext& context) {
  auto name = std::make_shared<std::string>();
  CLI::App* verb = AddVerb(app, context, "unload", "Serve a model of the repository no longer", "  attn unload minilm",
                           [&context, name] { return Unload(context, *name); });
  verb->add_option("NAME", *name, "The model's name")->required();
}

}  // namespace attnd
