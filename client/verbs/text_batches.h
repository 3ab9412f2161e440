// Batches of texts through a unary call, one after the other.
#ifndef ATTND_CLIENT_VERBS_TEXT_BATCHES_H_
#define ATTND_CLIENT_VERBS_TEXT_BATCHES_H_

#include <functional>
#include <string>
#include <vector>

#include "client/input.h"
#include "client/verbs/verb.h"

namespace attnd {

// Makes one call with the texts and, where it goes well, prints its answer.
using BatchCall = std::function<grpc::Status(grpc::ClientContext&, const std::vector<Text>&)>;

// Runs the texts of `arguments` (as TextSource takes them). A batch that is refused is tried text by text, so that the
// one at fault is named and the others are answered. The result is the exit code.
int RunTextBatches(VerbContext& context, const std::vector<std::string>& arguments, const BatchCall& call);

// The end of a BatchCall: `print(text, answer)` for each text of `batch`, where the call went well and `response` has
// as many answers.
template <typename Response, typename Print>
grpc::Status PrintAnswers(const grpc::Status& status, const std::vector<Text>& batch, const Response& response,
                          const Print& print) {
  if (!status.ok()) return status;
  if (response.texts_size() != static_cast<int>(batch.size())) {
    return {grpc::StatusCode::DATA_LOSS, "the server answered for another number of texts"};
  }
  for (int i = 0; i < response.texts_size(); ++i) print(batch[static_cast<size_t>(i)], response.texts(i));
  return status;
}

// The positional argument TEXT of the verbs that read lines.
void AddTexts(CLI::App* verb, std::vector<std::string>& texts);

}  // namespace attnd

#endif  // ATTND_CLIENT_VERBS_TEXT_BATCHES_H_
