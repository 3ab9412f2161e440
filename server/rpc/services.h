// The gRPC services of attnd.
#ifndef ATTND_SERVER_RPC_SERVICES_H_
#define ATTND_SERVER_RPC_SERVICES_H_

#include <memory>
#include <vector>

#include "grpcpp/impl/service_type.h"
#include "server/ops/server_context.h"

namespace attnd {

// attnd.v1.Attnd and inference.GRPCInferenceService. They keep the context, which outlives them.
std::vector<std::unique_ptr<grpc::Service>> MakeServices(ServerContext& context);

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_SERVICES_H_
