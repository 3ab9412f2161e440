#include "client/app.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

#include "client/format.h"
#include "client/verbs/verb.h"

namespace attnd {
namespace {

constexpr char kFooter[] = R"(Examples:
  attn embed --similarity "A cat sat on the mat." "A kitten rests on a rug."
  attn generate "The capital of France is" --temperature 0 --max-tokens 16
  attn attend "The cat sat on the mat because it was tired." --head L3H7
  attn heads "The cat sat on the mat because it was tired." --from it --to cat
  attn stats

Exit codes: 0 fine, 1 some input failed, 2 usage, 3 server unreachable, 130 stopped by Ctrl-C.)";

// Letters to insert, delete or change between two words.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, changed}));
    }
  }
  return row.back();
}

// What is wrong with the arguments: for a word that is no verb, the verbs there are.
std::string UsageFault(const CLI::App& app, const CLI::Error& error) {
  if (!app.get_subcommands().empty()) return error.what();
  const std::vector<std::string> rest = app.remaining();
  const auto word = std::find_if(rest.begin(), rest.end(), [](const std::string& w) { return w[0] != '-'; });
  std::string verbs, nearest;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    verbs += (verbs.empty() ? "" : ", ") + verb->get_name();
    if (word == rest.end() || Distance(*word, verb->get_name()) > 2) continue;
    if (nearest.empty() || Distance(*word, verb->get_name()) < Distance(*word, nearest)) nearest = verb->get_name();
  }
  if (word == rest.end()) return rest.empty() ? "a verb is needed: " + verbs : std::string(error.what());
  return "no such verb: " + Fit(*word, 40) + (nearest.empty() ? "." : "; did you mean " + nearest + "?") +
         " The verbs: " + verbs;
}

}  // namespace

int RunAttn(const std::vector<std::string>& arguments, Io& io) {
  CLI::App app("attn: embeddings, generated text and attention maps from an attnd server", "attn");
  VerbContext context(io);
  app.set_version_flag("--version", "attn " ATTND_VERSION);
  app.footer(kFooter);
  app.require_subcommand(1);
  app.add_option("--address", context.channel.address,
                 "Server: host:port or unix:PATH; replicas: IP:port,IP:port or dns:///NAME:port")
      ->envname("ATTN_ADDRESS")
      ->capture_default_str();
  const CLI::Option* timeout = app.add_option("--timeout", context.channel.timeout_s,
                                              "Seconds that a call may take; generations: the server's limit if unset")
                                   ->check(CLI::Range(0.001, 86400.0))
                                   ->capture_default_str();
  std::string color = "auto";
  app.add_option("--color", color, "auto, always, never; NO_COLOR is honoured")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->capture_default_str();
  AddEmbed(app, context);
  AddClassify(app, context);
  AddRerank(app, context);
  AddTokenClassify(app, context);
  AddFillMask(app, context);
  AddGenerate(app, context);
  AddChat(app, context);
  AddTrace(app, context);
  AddScore(app, context);
  AddAttend(app, context);
  AddHeads(app, context);
  AddTokenize(app, context);
  AddEstimate(app, context);
  AddModels(app, context);
  AddLoad(app, context);
  AddUnload(app, context);
  AddHealth(app, context);
  AddStats(app, context);
  AddBench(app, context);
  for (CLI::App* verb : app.get_subcommands({})) verb->fallthrough();  // global options after the verb, too

  // CLI11 takes parse's vector from its end.
  std::vector<std::string> reversed;
  for (auto it = arguments.rbegin(); it != arguments.rend(); ++it) reversed.push_back(MarkVerbatim(*it));
  try {
    app.parse(reversed);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success, io.out, io.err);
  } catch (const CLI::Error& error) {
    io.err << "attn: " << UsageFault(app, error) << "\nattn: see attn --help, or attn VERB --help\n";
    return kExitUsage;
  }
  context.channel.timeout_given = timeout->count() > 0;
  ApplyColorMode(io, color);
  const int code = context.run();
  io.out.flush();
  if (!io.out) {
    io.err << "attn: the output could not be written\n";
    return kExitFailed;
  }
  return code;
}

}  // namespace attnd
