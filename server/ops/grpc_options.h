// The limits of the gRPC transport.
#ifndef ATTND_SERVER_OPS_GRPC_OPTIONS_H_
#define ATTND_SERVER_OPS_GRPC_OPTIONS_H_

#include "grpcpp/server_builder.h"
#include "server/ops/limits.h"

namespace attnd {

// Sizes, time-outs and keep-alives of connections; compressed requests off, which a small body could blow up from.
void ApplyGrpcOptions(const Limits& limits, grpc::ServerBuilder& builder);

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_GRPC_OPTIONS_H_
