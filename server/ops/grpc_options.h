// The limits of the gRPC transport.
#ifndef ATTND_SERVER_OPS_GRPC_OPTIONS_H_
#define ATTND_SERVER_OPS_GRPC_OPTIONS_H_

#include "absl/time/time.h"
#include "grpcpp/server_builder.h"
#include "server/ops/limits.h"

namespace attnd {

// How long the calls of a connection that has reached its age may go on: as long as any may that brings no deadline.
absl::Duration ConnectionGrace(const Limits& limits);

// Sizes, time-outs and keep-alives of connections; compressed requests off, which a small body could blow up from.
void ApplyGrpcOptions(const Limits& limits, grpc::ServerBuilder& builder);

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_GRPC_OPTIONS_H_
