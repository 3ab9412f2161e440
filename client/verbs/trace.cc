// attn trace: a generation and all of its attention as one page.
#include "client/trace/trace.h"

#include <fstream>

#include "absl/strings/str_cat.h"
#include "client/format.h"
#include "client/input.h"
#include "client/render/generation.h"
#include "client/verbs/generation_options.h"
#include "client/verbs/verb.h"

namespace attnd {
namespace {

constexpr char kTraceExamples[] = R"(  attn trace "The cat sat on the mat because" --out trace.html --temperature 0
  attn trace --chat "Who wrote Faust?" --out trace.html --max-tokens 40
  attn trace @long.txt --out trace.html --heads 10-12:*

The page needs no network: open it in a browser. A byte a weight: all 270 heads of a small model, 100 tokens of prompt and
64 of answer are 3 MiB.)";

struct TraceOptions {
  std::string text;
  std::string out;
  std::string model;
  std::string heads;
  GenerationFlags flags;
  bool chat = false;
  std::string system;
  uint64_t max_bytes = uint64_t{64} << 20;
};

constexpr uint32_t kDefaultTokens = 64;

absl::Status WritePage(const std::string& path, const std::string& page) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << page;
  file.close();
  return file ? absl::OkStatus() : absl::PermissionDeniedError(absl::StrCat("cannot write ", path));
}

int Run(VerbContext& context, const TraceOptions& options) {
  Io& io = context.io;
  GenerationPrompt prompt;
  const auto text = ReadText(options.text, io);
  if (!text.ok()) return context.Fail(text.status());
  const auto generation = MakeGenerationOptions(options.flags, io);
  if (!generation.ok()) return context.Usage(std::string(generation.status().message()));
  prompt.model = options.model;
  prompt.text = *text;
  prompt.options = *generation;
  if (!prompt.options.has_max_tokens()) prompt.options.set_max_tokens(kDefaultTokens);
  if (options.chat || !options.system.empty()) prompt.messages = UserTurn(options.system, *text);
  prompt.attention = TraceAttention(options.heads);

  Trace trace(prompt.options.max_tokens(), options.max_bytes, prompt.messages.empty() ? &prompt.text : nullptr);
  absl::Status taken;
  const GenerationResult result = RunGeneration(context.client(), prompt, [&](const v1::GenerateResponse& event) {
    taken = trace.Take(event);
    if (io.err_terminal && event.has_delta()) io.err << "\r\x1b[K" << Count(trace.tokens(), "token") << std::flush;
    return taken.ok();
  });
  if (io.err_terminal) io.err << "\r\x1b[K";
  if (!taken.ok()) return context.Fail(taken);
  if (!result.status.ok() && !result.interrupted) return context.Fail(result.status);
  // Ctrl-C ends the answer; what there is of it is a page, too.
  const std::string page = trace.Page();
  if (const absl::Status written = WritePage(options.out, page); !written.ok()) return context.Fail(written);
  io.out << "wrote " << options.out << ", " << Bytes(page.size()) << ": " << Count(trace.prompt_tokens(), "token")
         << " of prompt, " << trace.tokens() << " of answer, " << Count(trace.heads(), "head") << "\n";
  return result.interrupted ? kExitInterrupted : kExitOk;
}

}  // namespace

void AddTrace(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<TraceOptions>();
  CLI::App* verb = AddVerb(app, context, "trace", "A generation and its attention as one page to play back",
                           kTraceExamples, [&context, options] { return Run(context, *options); });
  Verbatim(verb->add_option("TEXT", options->text, "The text; @FILE; - for standard input"))->required();
  verb->add_option("-o,--out", options->out, "The page's file")->required();
  verb->add_option("--model", options->model, "Model; may be left out where one is served");
  verb->add_option("--heads", options->heads, "Layers and heads, such as L9H2 or 7-9:0-3; default: all");
  verb->add_flag("--chat", options->chat, "The text is a user's message, put into the model's chat template");
  Verbatim(verb->add_option("--system", options->system, "With --chat, which it implies: the system message"));
  verb->add_option("--max-bytes", options->max_bytes, "Refuse what could make a page with more data than this")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  AddGenerationFlags(verb, options->flags);
}

}  // namespace attnd
