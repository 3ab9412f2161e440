// The service inference.GRPCInferenceService: the Open Inference Protocol with the extensions Triton's clients call.
#ifndef ATTND_SERVER_RPC_OIP_SERVICE_H_
#define ATTND_SERVER_RPC_OIP_SERVICE_H_

#include <memory>

#include "grpcpp/impl/service_type.h"
#include "server/ops/server_context.h"

namespace attnd {

// Keeps the context, which outlives it.
std::unique_ptr<grpc::Service> MakeInferenceService(ServerContext& context);

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_OIP_SERVICE_H_
