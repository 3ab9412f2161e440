// attn chat: a conversation.
#include <fstream>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "client/format.h"
#include "client/input.h"
#include "client/line_reader.h"
#include "client/render/generation.h"
#include "client/render/palette.h"
#include "client/verbs/generation_options.h"
#include "client/verbs/verb.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

constexpr char kChatExamples[] = R"(  attn chat
  attn chat --system "Answer in one sentence." --temperature 0.7 --top-p 0.9
  printf 'Who wrote Faust?\nWhen?\n' | attn chat

On a terminal lines are edited as in a shell (arrows, Ctrl-R searches the history); a backslash at a line's end goes on in the
next. Ctrl-C stops an answer, Ctrl-D ends. From a pipe, a line is a turn.)";

constexpr char kHelp[] = R"(/system TEXT  set the system message; without TEXT: show it
/reset        forget the conversation, not the system message
/save FILE    write the conversation as JSON
/quit         end, as Ctrl-D does
/help         this
A message that begins with a slash: write two.
)";

struct ChatOptions {
  std::string model;
  std::string system;
  GenerationFlags flags;
  bool no_history = false;
};

class Conversation {
 public:
  Conversation(VerbContext& context, const ChatOptions& options, const v1::GenerationOptions& generation)
      : context_(context), io_(context.io), system_(options.system) {
    prompt_.model = options.model;
    prompt_.options = generation;
  }

  // A line that somebody typed: a command or a message. False: the end.
  bool Take(const std::string& line) {
    if (line.empty()) return true;
    if (line[0] != '/') return Say(line);
    if (line.size() > 1 && line[1] == '/') return Say(line.substr(1));
    const size_t space = std::min(line.find(' '), line.size());
    const std::string command = line.substr(1, space - 1);
    const std::string argument(absl::StripAsciiWhitespace(absl::string_view(line).substr(space)));
    if (command == "quit" || command == "exit") return false;
    if (command == "help") {
      io_.out << kHelp;
    } else if (command == "reset") {
      turns_.clear();
      Note("the conversation begins anew");
    } else if (command == "system") {
      if (argument.empty()) {
        Note(system_.empty() ? "there is no system message" : absl::StrCat("system: ", system_));
      } else {
        system_ = argument;
      }
    } else if (command == "save") {
      Save(argument);
    } else {
      Fault(absl::StrCat("no such command: /", Fit(command, 30), "; /help lists them"));
    }
    io_.out.flush();
    return true;
  }

  int exit_code() const { return exit_code_; }

 private:
  // False where there is no server to go on with and nobody to start it.
  bool Say(const std::string& message) {
    if (!IsUtf8(message)) {
      Fault("INVALID_ARGUMENT: the message is not UTF-8");
      return true;
    }
    prompt_.messages.clear();
    if (!system_.empty()) prompt_.messages.push_back(MakeMessage("system", system_));
    prompt_.messages.insert(prompt_.messages.end(), turns_.begin(), turns_.end());
    prompt_.messages.push_back(MakeMessage("user", message));
    const auto writer = MakeTextWriter(io_, 1);
    std::string answer;
    absl::Status taken;
    const GenerationResult result = RunGeneration(context_.client(), prompt_, [&](const v1::GenerateResponse& event) {
      if (event.has_start()) model_ = event.start().model();
      if (event.has_delta()) answer += event.delta().text();
      taken = writer->Take(event);
      return taken.ok();
    });
    writer->Finish();
    io_.out.flush();
    if (!result.interrupted && (!taken.ok() || !result.status.ok())) {
      Fault(taken.ok() ? context_.client().Message(result.status) : std::string(taken.message()));
      if (!context_.client().Unreachable(result.status)) return true;
      exit_code_ = kExitUnreachable;
      return io_.in_terminal;
    }
    // What was said before Ctrl-C was said.
    turns_.push_back(MakeMessage("user", message));
    turns_.push_back(MakeMessage("assistant", answer));
    if (io_.err_terminal) {
      const std::string line = UsageLine(result.usage, false);
      io_.err << Dim(Fit(result.interrupted ? absl::StrCat("stopped: ", line) : line, io_.columns), io_.colors) << "\n";
    }
    return true;
  }

  void Save(const std::string& path) {
    if (path.empty()) return Fault("/save needs a file's name");
    nlohmann::json messages = nlohmann::json::array();
    if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
    for (const v1::ChatMessage& turn : turns_) messages.push_back({{"role", turn.role()}, {"content", turn.content()}});
    std::ofstream file(path, std::ios::trunc);
    file << nlohmann::json({{"model", model_}, {"messages", messages}})
                .dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
         << "\n";
    file.close();
    if (!file) return Fault(absl::StrCat("cannot write ", path));
    Note(absl::StrCat("wrote ", path, ", ", Count(messages.size(), "message")));
  }

  // For people alone: in a pipe the answers are all there is.
  void Note(const std::string& text) {
    if (io_.out_terminal) io_.out << Dim(Fit(text, io_.columns), io_.colors) << "\n";
  }
  void Fault(const std::string& text) {
    io_.err << "attn: " << text << "\n";
    // Somebody who types sees it and goes on; a script has its exit code.
    if (!io_.in_terminal) exit_code_ = kExitFailed;
  }

  VerbContext& context_;
  Io& io_;
  GenerationPrompt prompt_;
  std::string system_;
  std::vector<v1::ChatMessage> turns_;
  std::string model_;
  int exit_code_ = kExitOk;
};

int Run(VerbContext& context, const ChatOptions& options) {
  Io& io = context.io;
  const auto generation = MakeGenerationOptions(options.flags, io);
  if (!generation.ok()) return context.Usage(std::string(generation.status().message()));
  const bool typed = io.in_terminal && io.out_terminal;
  const auto reader =
      typed ? MakeTerminalReader(options.no_history ? "" : HistoryPath("chat_history"), io.colors) : MakePipeReader(io);
  if (typed) {
    io.out << Dim(Fit(absl::StrCat(context.client().address(),
                                   "  Ctrl-C stops an answer, Ctrl-D ends, /help lists more"),
                      io.columns),
                  io.colors)
           << "\n";
    io.out.flush();
  }
  Conversation conversation(context, options, *generation);
  std::string message;
  for (std::string line;;) {
    const LineReader::Result result = reader->Next(message.empty() ? "> " : "… ", line);
    if (result == LineReader::Result::kInterrupted) {
      message.clear();
      continue;
    }
    if (result == LineReader::Result::kEnd) break;
    if (typed && !line.empty() && line.back() == '\\') {
      line.back() = '\n';
      message += line;
      continue;
    }
    if (!conversation.Take(message + line)) break;
    message.clear();
  }
  return conversation.exit_code();
}

}  // namespace

void AddChat(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<ChatOptions>();
  CLI::App* verb = AddVerb(app, context, "chat", "Talk with a model by its own chat template", kChatExamples,
                           [&context, options] { return Run(context, *options); });
  verb->add_option("--model", options->model, "Model; may be left out where one is served");
  Verbatim(verb->add_option("--system", options->system, "The system message"));
  verb->add_flag("--no-history", options->no_history, "Keep no history of the lines in ~/.local/state/attn");
  AddGenerationFlags(verb, options->flags);
}

}  // namespace attnd
