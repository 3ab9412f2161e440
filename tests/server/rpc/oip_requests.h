// Requests of the Open Inference Protocol, and what their responses hold.
#ifndef ATTND_TESTS_SERVER_RPC_OIP_REQUESTS_H_
#define ATTND_TESTS_SERVER_RPC_OIP_REQUESTS_H_

#include <cstring>
#include <string>
#include <vector>

#include "inference/grpc_service.grpc.pb.h"
#include "tests/server/rpc/fixture.h"

namespace attnd::oip {

using inference::ModelInferRequest;
using inference::ModelInferResponse;

inline ModelInferRequest::InferInputTensor* Add(ModelInferRequest& request, const std::string& name,
                                                const std::string& datatype, const std::vector<int64_t>& shape) {
  auto* input = request.add_inputs();
  input->set_name(name);
  input->set_datatype(datatype);
  input->mutable_shape()->Add(shape.begin(), shape.end());
  return input;
}

template <typename T>
std::string Bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}
inline std::string Framed(const std::vector<std::string>& texts) {
  std::string bytes;
  for (const std::string& text : texts) {
    const auto size = static_cast<uint32_t>(text.size());
    bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
    bytes += text;
  }
  return bytes;
}

inline void AddRaw(ModelInferRequest& request, const std::string& name, const std::string& datatype,
                   const std::vector<int64_t>& shape, const std::string& bytes) {
  Add(request, name, datatype, shape);
  request.add_raw_input_contents(bytes);
}

inline ModelInferRequest Texts(const std::vector<std::string>& texts, const std::vector<std::string>& outputs = {}) {
  ModelInferRequest request;
  request.set_model_name("bert");
  AddRaw(request, "text", "BYTES", {static_cast<int64_t>(texts.size())}, Framed(texts));
  for (const std::string& output : outputs) request.add_outputs()->set_name(output);
  return request;
}

// An output of a response; an absent one fails the test and is empty.
template <typename T>
struct Output {
  std::vector<int64_t> shape;
  std::vector<T> values;

  Output(const ModelInferResponse& response, const std::string& name) {
    for (int i = 0; i < response.outputs_size(); ++i) {
      if (response.outputs(i).name() != name) continue;
      shape.assign(response.outputs(i).shape().begin(), response.outputs(i).shape().end());
      values.resize(response.raw_output_contents(i).size() / sizeof(T));
      std::memcpy(values.data(), response.raw_output_contents(i).data(), values.size() * sizeof(T));
      return;
    }
    ADD_FAILURE() << "no output " << name;
  }
};

class OipTest : public ServerTest {
 protected:
  using ServerTest::ServerTest;
  void SetUp() override { Begin(); }
  // Start, with a stub of this protocol beside that of attnd.v1.
  void Begin() {
    Start();
    inference_ = inference::GRPCInferenceService::NewStub(channel_);
  }
  // Calls a method that only asks, and expects it to work.
  template <typename Response, typename Method, typename Request>
  Response Ask(Method method, const Request& request) {
    grpc::ClientContext context;
    Response response;
    const grpc::Status status = (inference_.get()->*method)(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  grpc::Status Infer(const ModelInferRequest& request, ModelInferResponse& response) {
    grpc::ClientContext context;
    return inference_->ModelInfer(&context, request, &response);
  }
  ModelInferResponse MustInfer(const ModelInferRequest& request) {
    ModelInferResponse response;
    const grpc::Status status = Infer(request, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  void ExpectRefused(const ModelInferRequest& request, const std::string& field, const std::string& words) {
    ModelInferResponse response;
    ExpectInvalid(Infer(request, response), field, words);
  }

  using Stub = inference::GRPCInferenceService::Stub;
  std::unique_ptr<Stub> inference_;
};

}  // namespace attnd::oip

#endif  // ATTND_TESTS_SERVER_RPC_OIP_REQUESTS_H_
