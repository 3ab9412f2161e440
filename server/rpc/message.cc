#include "server/rpc/message.h"

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include "server/ops/status.h"

namespace attnd {

absl::Status ParseMessage(grpc::ByteBuffer* bytes, google::protobuf::Message& message) {
  const grpc::Status status =
      grpc::GenericDeserialize<grpc::ProtoBufferReader, google::protobuf::Message>(bytes, &message);
  if (status.ok()) return absl::OkStatus();
  return FieldError("request", "is no valid message of this method: its bytes are malformed, or a string is not UTF-8");
}

grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message) {
  grpc::ByteBuffer bytes;
  bool own = false;
  // Fails only beyond 2 GiB, which max_attention_bytes keeps far away; the client then sees an empty message.
  (void)grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::Message>(message, &bytes, &own);
  return bytes;
}

}  // namespace attnd
