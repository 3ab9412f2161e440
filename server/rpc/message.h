// Messages as bytes: the services take raw methods, so that a request that does not parse is answered properly.
//
// gRPC's typed callback methods answer such a request with UNIMPLEMENTED, and no text that is not UTF-8 parses.
#ifndef ATTND_SERVER_RPC_MESSAGE_H_
#define ATTND_SERVER_RPC_MESSAGE_H_

#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "grpcpp/support/byte_buffer.h"

namespace attnd {

// kInvalidArgument: malformed, or a string is not UTF-8 (naming the field, where protobuf does). Takes the buffer.
absl::Status ParseMessage(grpc::ByteBuffer* bytes, google::protobuf::Message& message);
grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message);

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_MESSAGE_H_
