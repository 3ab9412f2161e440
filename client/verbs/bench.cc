// attn bench: how fast the server answers.
#include <malloc.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/bench/generate_load.h"
#include "client/bench/load.h"
#include "client/bench/report.h"
#include "client/bench/texts.h"
#include "client/format.h"
#include "client/input.h"
#include "client/render/heads.h"
#include "client/verbs/verb.h"

namespace attnd {
namespace {

constexpr char kBenchExamples[] = R"(  attn bench
  attn bench --concurrency 8 --texts-per-call 32 --duration 20
  attn bench --rate 200 --save before.json
  attn bench --rate 200 --compare before.json
  attn bench --file sentences.txt -o md
  attn bench --generate --concurrency 16 --prompt-tokens 182 --answer-tokens 64

Closed loop: each caller waits for its answer. With --rate, calls arrive as a Poisson process and latency counts from when a
call was due. transport: the client's time less the server's. With --generate: greedy answers of one length to prompts of one
length, all different; answers under way at the end count with the tokens they had.)";

struct BenchOptions {
  LoadSettings load;
  TextOptions text{.model = "", .truncate = "end"};
  int connections = 0;
  int words = 32;
  std::string file;
  std::string format = "table";
  std::string save;
  std::string compare;
  std::string attention = "none";
  bool generate = false;
  GenerateSettings generation;
};

// What "--attention" asks of every text beside its vector, or of every token.
template <typename Spec>
std::optional<Spec> BenchAttention(const std::string& kind) {
  if (kind == "none") return std::nullopt;
  Spec spec;
  spec.set_content(kind == "statistics" ? v1::ATTENTION_CONTENT_STATISTICS : v1::ATTENTION_CONTENT_MAPS);
  if (kind == "one") spec.set_select("L0H0");
  if (kind == "layer") spec.set_select("L0H*");
  return spec;
}

absl::StatusOr<std::vector<std::string>> LoadTexts(const BenchOptions& options, Io& io) {
  if (options.file.empty()) return MakeTexts(2048, options.words, options.load.seed);
  std::vector<std::string> texts;
  TextSource source({absl::StrCat("@", options.file)}, io);
  for (Text text; source.Next(text);) {
    if (!text.text.empty() && IsUtf8(text.text)) texts.push_back(text.text);
  }
  if (!source.status().ok()) return source.status();
  if (texts.empty()) return absl::InvalidArgumentError(absl::StrCat(options.file, " holds no text"));
  return texts;
}

std::function<void(double)> Progress(Io& io) {
  return [&io](double share) {
    if (!io.err_terminal) return;
    io.err << "\r\x1b[K" << PadRight(Bar(share, 30, false), 30) << absl::StrFormat(" %3.0f %%", share * 100)
           << std::flush;
  };
}

// Prints, saves and compares; the result is the exit code.
int Report(VerbContext& context, const BenchOptions& options, const BenchReport& report, const std::string& earlier,
           const std::string& first_error) {
  Io& io = context.io;
  if (io.err_terminal) io.err << "\r\x1b[K";
  if (options.format == "table") io.out << ReportTable(report, io);
  if (options.format == "md") io.out << ReportMarkdown(report);
  if (options.format == "csv") io.out << ReportCsv(report);
  if (options.format == "json") io.out << ReportJson(report);
  if (!options.compare.empty()) {
    std::ostream& out = options.format == "table" || options.format == "md" ? io.out : io.err;
    out << "\n" << *CompareReports(earlier, report);
  }
  if (!options.save.empty()) {
    std::ofstream file(options.save);
    file << ReportJson(report);
    file.close();
    if (!file) return context.Fail(absl::PermissionDeniedError(absl::StrCat("cannot write ", options.save)));
  }
  if (!first_error.empty()) io.err << "attn: the first failed call: " << first_error << "\n";
  return report.errors.empty() ? kExitOk : kExitFailed;
}

// Maps come in answers of megabytes. Memory for them that goes back to the system with each answer comes back cleared
// page by page, which is time that the server, on the same machine, does not have.
void KeepFreedMemory() {
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the largest it takes
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
}

int RunGenerate(VerbContext& context, BenchOptions& options, const std::string& earlier) {
  if (options.load.rate > 0) return context.Usage("--generate is a closed loop: leave out --rate");
  constexpr int kPrompts = 64;
  GenerateSettings& settings = options.generation;
  settings.model = options.text.model;
  settings.concurrency = options.load.concurrency;
  settings.connections = options.load.connections;
  settings.warmup_s = options.load.warmup_s;
  settings.duration_s = options.load.duration_s;
  settings.seed = options.load.seed;
  settings.options.set_temperature(0);
  settings.attention = BenchAttention<v1::GenerationAttention>(options.attention);
  grpc::Status status;
  const auto prompts = MakePrompts(context.client(), settings, kPrompts, status);
  if (!status.ok()) return context.Fail(status);
  if (!prompts.ok()) return context.Fail(prompts.status());

  // One token first: what fails it would fail all.
  grpc::ClientContext call;
  context.client().Prepare(call);
  v1::GenerateRequest request;
  request.set_model(settings.model);
  *request.mutable_input_ids() = prompts->back();
  request.mutable_options()->set_max_tokens(1);
  const auto reader = context.client().stub().Generate(&call, request);
  for (v1::GenerateResponse event; reader->Read(&event);) {
  }
  status = reader->Finish();
  if (!status.ok()) return context.Fail(status);

  GenerateResult result = RunGenerateLoad(context.channel, settings, *prompts, Progress(context.io));
  const std::string first_error = result.first_error;
  return Report(context, options, MakeReport(settings, std::move(result)), earlier, first_error);
}

int RunEmbed(VerbContext& context, BenchOptions& options, const std::string& earlier) {
  LoadSettings& load = options.load;
  load.model = options.text.model;
  load.truncate = options.text.truncation();
  load.attention = BenchAttention<v1::AttentionSpec>(options.attention);
  const auto texts = LoadTexts(options, context.io);
  if (!texts.ok()) return context.Fail(texts.status());

  // One call first: what fails it would fail all.
  grpc::ClientContext call;
  context.client().Prepare(call);
  v1::EmbedRequest request;
  request.set_model(load.model);
  request.set_truncate(load.truncate);
  request.add_texts(texts->front());
  v1::EmbedResponse response;
  const grpc::Status status = context.client().stub().Embed(&call, request, &response);
  if (!status.ok()) return context.Fail(status);
  const LoadResult result = RunLoad(context.channel, load, *texts, Progress(context.io));
  return Report(context, options, MakeReport(load, result), earlier, result.first_error);
}

int Run(VerbContext& context, BenchOptions& options) {
  if (options.attention == "all" && !options.generate) KeepFreedMemory();
  LoadSettings& load = options.load;
  load.connections = options.connections > 0 ? options.connections : std::clamp(load.concurrency, 1, 16);
  std::string earlier;
  if (!options.compare.empty()) {
    std::ifstream file(options.compare);
    std::stringstream bytes;
    bytes << file.rdbuf();
    earlier = bytes.str();
    if (const auto known = CompareReports(earlier, {}); !known.ok()) {
      return context.Usage(absl::StrCat(options.compare, ": ", known.status().message()));
    }
  }
  return options.generate ? RunGenerate(context, options, earlier) : RunEmbed(context, options, earlier);
}

}  // namespace

void AddBench(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* verb = AddVerb(app, context, "bench", "Measure throughput and latency of Embed, or of Generate",
                           kBenchExamples, [&context, options] { return Run(context, *options); });
  LoadSettings& load = options->load;
  verb->add_option("-c,--concurrency", load.concurrency, "Callers of the closed loop")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  verb->add_option("-n,--texts-per-call", load.texts_per_call, "Texts of each call")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  verb->add_option("--rate", load.rate, "Calls per second: an open loop, Poisson arrivals")
      ->check(CLI::Range(0.001, 1e6));
  verb->add_option("--duration", load.duration_s, "Seconds that are measured")
      ->check(CLI::Range(0.01, 86400.0))
      ->capture_default_str();
  verb->add_option("--warmup", load.warmup_s, "Seconds before that")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  verb->add_option("--connections", options->connections, "Connections; default: one a caller, at most 16")
      ->check(CLI::Range(1, 4096));
  verb->add_option("--file", options->file, "Texts from the lines of this file");
  verb->add_option("--words", options->words, "Median words of the texts made where there is no file")
      ->check(CLI::Range(1, 350))
      ->capture_default_str();
  verb->add_option("--seed", load.seed, "Of the texts and the arrivals")->capture_default_str();
  verb->add_option("-o,--output", options->format, "table, md, csv, json")
      ->check(CLI::IsMember({"table", "md", "csv", "json"}))
      ->capture_default_str();
  verb->add_option("--save", options->save, "Write the JSON report to this file, too");
  verb->add_option("--compare", options->compare, "Show the change since this JSON report");
  verb->add_option("--attention", options->attention,
                   "Attention asked of each text or token: none, statistics (all heads), one (L0H0), layer (L0), all")
      ->check(CLI::IsMember({"none", "statistics", "one", "layer", "all"}))
      ->capture_default_str();
  verb->add_flag("--generate", options->generate, "Answers of a decoder instead of vectors");
  verb->add_option("--prompt-tokens", options->generation.prompt_tokens, "With --generate: tokens of each prompt")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  verb->add_option("--answer-tokens", options->generation.answer_tokens, "With --generate: tokens of each answer")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  AddTextOptions(verb, options->text);
}

}  // namespace attnd
