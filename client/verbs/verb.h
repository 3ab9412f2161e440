// What the verbs of attn share. Each verb is one file here: it declares its options and sets `run`.
#ifndef ATTND_CLIENT_VERBS_VERB_H_
#define ATTND_CLIENT_VERBS_VERB_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "client/channel.h"
#include "client/io.h"

namespace attnd {

struct VerbContext {
  explicit VerbContext(Io& the_io) : io(the_io) {}

  Io& io;
  ChannelOptions channel;
  std::function<int()> run;  // of the verb that was named; returns the exit code

  // Made when first asked for, after the options are parsed.
  const Client& client();
  // Say what went wrong on stderr and return the exit code.
  int Fail(const grpc::Status& status);  // of a call
  int Fail(const absl::Status& status);  // of our own
  int Usage(const std::string& message);

 private:
  std::unique_ptr<Client> client_;
};

// A verb whose callback sets context.run.
CLI::App* AddVerb(CLI::App& app, VerbContext& context, const std::string& name, const std::string& description,
                  const std::string& examples, std::function<int()> run);

// CLI11 takes an argument such as "[CLS] and [SEP]" for a list: arguments of that form are marked before it parses, and
// the mark is taken off the values of options and positionals made Verbatim.
std::string MarkVerbatim(const std::string& argument);
CLI::Option* Verbatim(CLI::Option* option);

// "--model" and "--truncate" of the verbs that take texts.
struct TextOptions {
  std::string model;
  std::string truncate = "refuse";
  v1::Truncation truncation() const;
};
void AddTextOptions(CLI::App* verb, TextOptions& options);

void AddEmbed(CLI::App& app, VerbContext& context);
void AddClassify(CLI::App& app, VerbContext& context);
void AddRerank(CLI::App& app, VerbContext& context);
void AddTokenClassify(CLI::App& app, VerbContext& context);
void AddFillMask(CLI::App& app, VerbContext& context);
void AddGenerate(CLI::App& app, VerbContext& context);
void AddChat(CLI::App& app, VerbContext& context);
void AddTrace(CLI::App& app, VerbContext& context);
void AddScore(CLI::App& app, VerbContext& context);
void AddAttend(CLI::App& app, VerbContext& context);
void AddHeads(CLI::App& app, VerbContext& context);
void AddTokenize(CLI::App& app, VerbContext& context);
void AddEstimate(CLI::App& app, VerbContext& context);
void AddModels(CLI::App& app, VerbContext& context);
void AddLoad(CLI::App& app, VerbContext& context);
void AddUnload(CLI::App& app, VerbContext& context);
void AddHealth(CLI::App& app, VerbContext& context);
void AddStats(CLI::App& app, VerbContext& context);
void AddBench(CLI::App& app, VerbContext& context);

}  // namespace attnd

#endif  // ATTND_CLIENT_VERBS_VERB_H_
