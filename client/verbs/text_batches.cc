#include "client/verbs/text_batches.h"

#include <optional>

#include "client/format.h"

namespace attnd {
namespace {

constexpr size_t kBatch = 32;  // of a file; a line that somebody types is answered at once

class Batches {
 public:
  Batches(VerbContext& context, const BatchCall& call) : context_(context), call_(call) {}

  // False where the server is gone: then exit_code() says so.
  bool Run(const std::vector<Text>& batch) {
    grpc::ClientContext call;
    context_.client().Prepare(call);
    const grpc::Status status = call_(call, batch);
    if (status.ok()) return true;
    if (context_.client().Unreachable(status)) {
      exit_code_ = context_.Fail(status);
      return false;
    }
    if (batch.size() == 1) {
      context_.io.err << "attn: " << batch[0].place << ": " << context_.client().Message(status) << "\n";
      exit_code_ = kExitFailed;
      return true;
    }
    for (const Text& text : batch) {
      if (!Run({text})) return false;
    }
    return true;
  }
  void Refuse(const Text& text, const std::string& why) {
    context_.io.err << "attn: " << text.place << ": " << why << "\n";
    exit_code_ = kExitFailed;
  }
  int exit_code() const { return exit_code_; }

 private:
  VerbContext& context_;
  const BatchCall& call_;
  int exit_code_ = kExitOk;
};

}  // namespace

int RunTextBatches(VerbContext& context, const std::vector<std::string>& arguments, const BatchCall& call) {
  if (arguments.empty() && context.io.in_terminal) {
    return context.Usage("no text: pass one, @FILE, or lines on standard input");
  }
  TextSource source(arguments, context.io);
  Batches batches(context, call);
  std::vector<Text> batch;
  Text text;
  while (source.Next(text)) {
    if (!IsUtf8(text.text)) {
      batches.Refuse(text, "INVALID_ARGUMENT: the text is not UTF-8");
      continue;
    }
    batch.push_back(text);
    if (batch.size() < kBatch && !context.io.in_terminal) continue;
    if (!batches.Run(batch)) return batches.exit_code();
    batch.clear();
  }
  if (!batch.empty() && !batches.Run(batch)) return batches.exit_code();
  if (!source.status().ok()) return context.Fail(source.status());
  return batches.exit_code();
}

void AddTexts(CLI::App* verb, std::vector<std::string>& texts) {
  Verbatim(verb->add_option("TEXT", texts, "Texts; @FILE: the lines of a file; -: of standard input, the default"));
}

}  // namespace attnd
