// attn generate: a text goes on.
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/format.h"
#include "client/input.h"
#include "client/render/context_view.h"
#include "client/render/generation.h"
#include "client/render/palette.h"
#include "client/verbs/generation_options.h"
#include "client/verbs/verb.h"

namespace attnd {
namespace {

constexpr char kGenerateExamples[] = R"(  attn generate "The capital of France is" --temperature 0 --max-tokens 16
  attn generate --chat "Write a haiku about rain."
  attn generate "The cat sat on the mat because" --show-attention --temperature 0
  attn generate @prompt.txt --show-attention L9H2
  attn generate "Once" --logprobs 3 --seed 1
  attn generate - --json < prompt.txt | jq -rj 'select(.event == "token").text'

The attention behind a token is that of the row which made it: the token before asks. --stop $'\n' ends at a line break.)";

struct GenerateOptions {
  std::string text;
  std::string model;
  GenerationFlags flags;
  bool chat = false;
  std::string system;
  bool no_special = false;
  uint32_t answers = 1;
  OptionalValue logprobs;
  bool prompt_logprobs = false;
  OptionalValue show_attention;
  bool json = false;
};

std::unique_ptr<GenerationWriter> MakeWriter(Io& io, const GenerateOptions& options, const std::string* prompt_text) {
  if (options.json) return MakeEventWriter(io.out, v1::ATTENTION_DTYPE_F16);
  const std::string& heads = options.show_attention.value;
  auto writer = options.show_attention.given()
                    ? MakeContextWriter(io, heads.empty() ? "mean of all heads" : heads, prompt_text)
                    : MakeTextWriter(io, options.answers);
  if (!options.logprobs.given() && !options.prompt_logprobs) return writer;
  return MakeLogprobWriter(io, std::move(writer), prompt_text);
}

// The mean over the heads of `select`; empty: all.
v1::GenerationAttention MeanRows(const std::string& select) {
  v1::GenerationAttention attention;
  attention.set_select(select);
  attention.set_content(v1::ATTENTION_CONTENT_MAPS);
  attention.set_reduce(v1::ATTENTION_REDUCE_HEAD_MEAN);
  attention.set_dtype(v1::ATTENTION_DTYPE_F16);
  return attention;
}

absl::StatusOr<GenerationPrompt> MakePrompt(const GenerateOptions& options, Io& io) {
  GenerationPrompt prompt;
  const auto text = ReadText(options.text, io);
  if (!text.ok()) return text.status();
  const auto generation = MakeGenerationOptions(options.flags, io);
  if (!generation.ok()) return generation.status();
  prompt.model = options.model;
  prompt.text = *text;
  prompt.add_special_tokens = !options.no_special;
  prompt.options = *generation;
  if (options.answers > 1) prompt.options.set_n(options.answers);
  if (options.logprobs.given()) {
    uint32_t count = 0;
    if (!options.logprobs.value.empty() && !absl::SimpleAtoi(options.logprobs.value, &count)) {
      return absl::InvalidArgumentError(absl::StrCat("--logprobs takes a number, not '", options.logprobs.value, "'"));
    }
    prompt.options.set_logprobs(count);
  }
  prompt.options.set_prompt_logprobs(options.prompt_logprobs);
  if (options.show_attention.given()) prompt.attention = MeanRows(options.show_attention.value);
  if (options.chat || !options.system.empty()) prompt.messages = UserTurn(options.system, *text);
  return prompt;
}

int Run(VerbContext& context, GenerateOptions& options) {
  Io& io = context.io;
  GiveBack(options.logprobs, IsCount, options.text);
  GiveBack(options.show_attention, IsSelection, options.text);
  if (options.text.empty()) {
    if (io.in_terminal) return context.Usage("no text: pass one, @FILE, or standard input");
    options.text = "-";
  }
  if (options.show_attention.given() && options.answers > 1) {
    return context.Usage("--show-attention shows one answer: leave out --n");
  }
  const auto prompt = MakePrompt(options, io);
  if (!prompt.ok()) return context.Usage(std::string(prompt.status().message()));
  const std::string* prompt_text = prompt->messages.empty() ? &prompt->text : nullptr;
  const auto writer = MakeWriter(io, options, prompt_text);
  absl::Status taken;
  const GenerationResult result = RunGeneration(context.client(), *prompt, [&](const v1::GenerateResponse& event) {
    taken = writer->Take(event);
    return taken.ok();
  });
  writer->Finish();
  io.out.flush();
  if (!taken.ok()) return context.Fail(taken);
  if (!result.status.ok() && !result.interrupted) return context.Fail(result.status);
  if (io.err_terminal) {
    const bool sampled = !prompt->options.has_temperature() || prompt->options.temperature() > 0;
    io.err << Dim(Fit(UsageLine(result.usage, sampled), io.columns), io.colors) << "\n";
  }
  return result.interrupted ? kExitInterrupted : kExitOk;
}

}  // namespace

void AddGenerate(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* verb = AddVerb(app, context, "generate", "Let a decoder go on from a text", kGenerateExamples,
                           [&context, options] { return Run(context, *options); });
  Verbatim(verb->add_option("TEXT", options->text, "The text; @FILE; - for standard input, the default in a pipe"));
  verb->add_option("--model", options->model, "Model; may be left out where one is served");
  verb->add_flag("--chat", options->chat, "The text is a user's message, put into the model's chat template");
  Verbatim(verb->add_option("--system", options->system, "With --chat, which it implies: the system message"));
  verb->add_flag("--no-special", options->no_special, "No beginning-of-text token");
  verb->add_option("--n", options->answers, "Answers to the text")->check(CLI::Range(1, 64))->capture_default_str();
  AddOptionalValue(verb, "--show-attention", "HEADS", options->show_attention,
                   "Colour the text by the weight behind each new token: mean of all heads, or of L3H5, 7-9:0-3");
  AddOptionalValue(verb, "--logprobs", "K", options->logprobs,
                   "A table of the tokens' log-probabilities, beside the K most probable ones");
  verb->add_flag("--prompt-logprobs", options->prompt_logprobs, "The same of the prompt's tokens");
  verb->add_flag("--json", options->json, "Events as they come, one JSON object a line");
  AddGenerationFlags(verb, options->flags);
}

}  // namespace attnd
