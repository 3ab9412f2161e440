// A server of golden models with a head: each task, over both protocols.
#ifndef ATTND_TESTS_SERVER_RPC_TASKS_FIXTURE_H_
#define ATTND_TESTS_SERVER_RPC_TASKS_FIXTURE_H_

#include <map>
#include <string>
#include <vector>

#include "tests/server/rpc/oip_requests.h"

namespace attnd::oip {

class TasksTest : public OipTest {
 protected:
  TasksTest() {
    config_.models.clear();
    for (const char* name : {"bert", "bert-classify", "albert-classify", "bert-token", "bert-mlm", "roberta-rerank"}) {
      config_.models.push_back({.name = name, .folder = golden::Folder(name)});
      cases_.emplace(name, golden::Folder(name) + "/golden");
    }
  }

  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (v1::Attnd::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response) {
    grpc::ClientContext context;
    return (stub_.get()->*method)(&context, request, &response);
  }
  // Texts for a model.
  static ModelInferRequest Request(const std::string& model, const std::vector<std::string>& texts) {
    ModelInferRequest request = Texts(texts);
    request.set_model_name(model);
    return request;
  }
  // Whether the golden tokens are fewer than the text's.
  static bool WasCut(const golden::Cases& cases, size_t i) { return cases.Ints(i, "ids").size() >= 96; }
  // The golden tokens of a case, as INT32 input.
  static ModelInferRequest Ids(const std::string& model, const golden::Cases& cases, size_t i) {
    const std::vector<int32_t> ids = cases.Ints(i, "ids");
    ModelInferRequest request;
    request.set_model_name(model);
    AddRaw(request, "input_ids", "INT32", {1, static_cast<int64_t>(ids.size())}, Bytes(ids));
    return request;
  }
  // The second text of a case, empty where it has none.
  static std::string PairOf(const golden::Cases& cases, size_t i) {
    return cases.Pair(i).is_null() ? "" : cases.Pair(i).get<std::string>();
  }

  std::map<std::string, golden::Cases> cases_;  // by model
};

}  // namespace attnd::oip

#endif  // ATTND_TESTS_SERVER_RPC_TASKS_FIXTURE_H_
