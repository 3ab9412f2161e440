// What the Open Inference Protocol tells about the server and its models.
#ifndef ATTND_SERVER_RPC_OIP_DESCRIBE_H_
#define ATTND_SERVER_RPC_OIP_DESCRIBE_H_

#include "inference/grpc_service.pb.h"
#include "server/ops/server_context.h"

namespace attnd {

void DescribeServer(inference::ServerMetadataResponse& response);
void DescribeModel(const ServedModel& model, inference::ModelMetadataResponse& response);
// As Triton's config.pbtxt; dimensions without the batch where it has one.
void DescribeConfig(const ServerContext& context, const ServedModel& model, inference::ModelConfig& config);
// Sums since the start.
void DescribeStatistics(const ServedModel& model, inference::ModelStatistics& statistics);

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_OIP_DESCRIBE_H_
