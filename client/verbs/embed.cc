// attn embed: texts to vectors.
#include <fstream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/clock.h"
#include "client/embedder.h"
#include "client/format.h"
#include "client/input.h"
#include "client/render/embeddings.h"
#include "client/verbs/verb.h"

namespace attnd {
namespace {

constexpr char kEmbedExamples[] = R"(  attn embed "A cat sat on the mat."
  attn embed --similarity "A cat sat on the mat." "A kitten rests on a rug."
  attn embed < lines.txt > out.jsonl
  attn embed --prompt-name query "Who wrote Faust?"
  attn embed @lines.txt --format npy --output vectors.npy)";

struct EmbedOptions {
  std::vector<std::string> texts;
  std::string file;
  TextOptions text;
  std::string format;
  std::string output;
  bool similarity = false;
  std::optional<bool> normalize;  // default: as the model's configuration says
  int batch = 32;
  std::optional<std::string> prompt_name, prompt;
};

// "1,204 texts, 312 texts/s", over and over on one line of stderr.
class Progress {
 public:
  explicit Progress(Io& io) : io_(io), shown_(io.err_terminal && !io.out_terminal) {}
  ~Progress() {
    if (drawn_) io_.err << "\r\x1b[K";
  }
  void Show(uint64_t texts) {
    const Clock::time_point now = Clock::now();
    if (!shown_ || now - last_ < std::chrono::milliseconds(200)) return;
    last_ = now;
    drawn_ = true;
    io_.err << "\r\x1b[K" << Count(texts, "text") << ", "
            << Thousands(static_cast<uint64_t>(static_cast<double>(texts) / Seconds(now - begin_))) << " texts/s"
            << std::flush;
  }

 private:
  Io& io_;
  const bool shown_;
  bool drawn_ = false;
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
};

int Run(VerbContext& context, const EmbedOptions& options) {
  Io& io = context.io;
  std::vector<std::string> sources = options.texts;
  if (!options.file.empty()) sources.push_back(options.file == "-" ? "-" : absl::StrCat("@", options.file));
  if (sources.empty() && io.in_terminal) return context.Usage("no text: pass one, @FILE, or lines on standard input");

  std::ofstream file;
  if (!options.output.empty()) {
    file.open(options.output, std::ios::binary | std::ios::trunc);
    if (!file) return context.Usage(absl::StrCat("cannot write ", options.output));
  }
  std::ostream& out = options.output.empty() ? io.out : file;
  const bool to_terminal = options.output.empty() && io.out_terminal;
  const std::string format = !options.format.empty() ? options.format : to_terminal ? "table" : "jsonl";
  if (format == "npy" && to_terminal) return context.Usage("npy is no text: pass --output FILE, or a pipe");
  std::unique_ptr<EmbeddingWriter> writer;
  if (options.similarity) {
    writer = MakeSimilarityWriter(out, io);
  } else if (format == "npy") {
    writer = MakeNpyWriter(out, !options.output.empty());
  } else {
    writer = format == "table" ? MakeTableWriter(out, io) : MakeJsonlWriter(out);
  }

  const EmbedSettings settings{options.text.model, options.text.truncation(), options.normalize,
                               options.batch,      options.prompt_name,       options.prompt};
  TextSource source(sources, io);
  Progress progress(io);
  EmbedTotals totals;
  const Clock::time_point begin = Clock::now();
  const grpc::Status status = EmbedTexts(
      context.client(), settings, [&](Text& text) { return source.Next(text); },
      [&](Embedded&& embedded) {
        if (!embedded.status.ok()) {
          io.err << "attn: " << embedded.source.place << ": "
                 << StatusMessage(embedded.status.error_code(), embedded.status.error_message()) << "\n";
        }
        writer->Add(embedded);
        if (format != "npy") out.flush();  // who reads line by line waits for no other; a line fills a buffer anyway
        progress.Show(totals.texts);
      },
      totals);
  const double seconds = Seconds(Clock::now() - begin);
  if (totals.texts > 0) writer->Finish(totals);
  if (!options.output.empty()) {
    file.flush();
    if (!file) return context.Fail(absl::DataLossError(absl::StrCat("cannot write ", options.output)));
  }
  if (!status.ok()) {
    if (totals.texts > 0) io.err << "attn: the stream broke after " << Count(totals.texts, "text") << "\n";
    return context.Fail(status);
  }
  if (!source.status().ok()) return context.Fail(source.status());
  if (options.similarity || format == "table") {
    io.out << absl::StrFormat("%s, %s, %s ms (%s)\n", Count(totals.texts, "text"), Count(totals.tokens, "token"),
                              Milliseconds(seconds * 1e3), StageLine(totals.timings));
  }
  if (totals.failed > 0) {
    io.err << "attn: " << Count(totals.failed, "text") << " of " << Thousands(totals.texts) << " failed\n";
    return kExitFailed;
  }
  return kExitOk;
}

}  // namespace

void AddEmbed(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<EmbedOptions>();
  CLI::App* verb = AddVerb(app, context, "embed", "Vectors of texts", kEmbedExamples,
                           [&context, options] { return Run(context, *options); });
  Verbatim(
      verb->add_option("TEXT", options->texts, "Texts; @FILE: the lines of a file; -: of standard input, the default"));
  verb->add_option("--file", options->file, "Read texts from the lines of this file, too");
  verb->add_option("--format", options->format, "jsonl (default in pipes), npy, table (default on a terminal)")
      ->check(CLI::IsMember({"jsonl", "npy", "table"}));
  verb->add_option("-o,--output", options->output, "Write to this file");
  verb->add_flag("--similarity", options->similarity, "Print the cosine similarities of all pairs");
  verb->add_flag_callback("--normalize", [options] { options->normalize = true; }, "Vectors of length 1");
  verb->add_flag_callback(
      "--no-normalize", [options] { options->normalize = false; }, "Vectors as pooling leaves them");
  verb->add_option("--prompt-name", options->prompt_name, "Which of the model's prompts goes before each text");
  Verbatim(verb->add_option("--prompt", options->prompt, "A prompt of your own instead; \"\": none"));
  verb->add_option("--batch", options->batch, "Texts per message; 1 answers each line at once")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  AddTextOptions(verb, options->text);
}

}  // namespace attnd
