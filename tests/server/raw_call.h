// Unary calls with bytes as they are: a stub's own messages refuse to hold them.
#ifndef ATTND_TESTS_SERVER_RAW_CALL_H_
#define ATTND_TESTS_SERVER_RAW_CALL_H_

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace attnd {

// Waits at most 30 seconds. The answer of a call that succeeds is appended to `response`.
inline grpc::Status RawCall(grpc::Channel& channel, const std::string& method, const std::string& request,
                            std::string* response = nullptr,
                            grpc_compression_algorithm compression = GRPC_COMPRESS_NONE) {
  std::shared_ptr<grpc::Channel> alias(&channel, [](grpc::Channel*) {});
  grpc::GenericStub stub(alias);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  context.set_compression_algorithm(compression);
  grpc::CompletionQueue queue;
  const grpc::Slice slice(request);
  const grpc::ByteBuffer message(&slice, 1);
  auto call = stub.PrepareUnaryCall(&context, method, message, &queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  void* tag;
  bool ok;
  queue.Next(&tag, &ok);
  if (status.ok() && response != nullptr) {
    std::vector<grpc::Slice> slices;
    if (answer.Dump(&slices).ok()) {
      for (const grpc::Slice& part : slices) response->append(reinterpret_cast<const char*>(part.begin()), part.size());
    }
  }
  return status;
}

}  // namespace attnd

#endif  // ATTND_TESTS_SERVER_RAW_CALL_H_
