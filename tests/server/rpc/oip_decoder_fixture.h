// Requests to a golden decoder in the Open Inference Protocol.
#ifndef ATTND_TESTS_SERVER_RPC_OIP_DECODER_FIXTURE_H_
#define ATTND_TESTS_SERVER_RPC_OIP_DECODER_FIXTURE_H_

#include <string>
#include <vector>

#include "tests/golden/greedy_answers.h"
#include "tests/server/rpc/oip_requests.h"

namespace attnd::oip {

class OipDecoderTest : public OipTest {
 protected:
  OipDecoderTest() : OipTest("llama") {}

  // The prompt of golden case i, to be continued as the reference was.
  ModelInferRequest Request(size_t i, const std::vector<std::string>& outputs = {}) const {
    ModelInferRequest request;
    request.set_model_name("llama");
    AddRaw(request, "input_ids", "INT32", {1, 12}, Bytes(golden::GreedyPrompt(golden_, i)));
    for (const std::string& output : outputs) request.add_outputs()->set_name(output);
    auto& parameters = *request.mutable_parameters();
    parameters["temperature"].set_double_param(0);
    parameters["max_tokens"].set_int64_param(24);
    parameters["ignore_eos"].set_bool_param(true);
    return request;
  }
  static ModelInferRequest Text(const std::string& text) {
    ModelInferRequest request = Texts({text});
    request.set_model_name("llama");
    return request;
  }
  // The output "text" of a response.
  static std::string TextOf(const ModelInferResponse& response) {
    const Output<char> text(response, "text");
    EXPECT_EQ(text.shape, std::vector<int64_t>{1});
    return {text.values.begin() + 4, text.values.end()};
  }
};

}  // namespace attnd::oip

#endif  // ATTND_TESTS_SERVER_RPC_OIP_DECODER_FIXTURE_H_
