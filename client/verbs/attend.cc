// attn attend: attention maps, drawn or saved.
#include <algorithm>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"
#include "client/input.h"
#include "client/maps.h"
#include "client/render/attention_files.h"
#include "client/render/heads.h"
#include "client/render/heatmap.h"
#include "client/render/palette.h"
#include "client/render/svg.h"
#include "client/verbs/attention_options.h"
#include "client/verbs/verb.h"

namespace attnd {
namespace {

constexpr char kAttendExamples[] = R"(  attn attend "The cat sat on the mat because it was tired." --head L3H7
  attn attend "The cat sat on the mat because it was tired." --layer 3
  attn attend @text.txt --head L3H7 --from it
  attn attend "The cat sat." --layer 3 --head 5 --svg head.svg

Rows ask, columns answer: a cell says how much the row's token attends to the column's. Attention weights are not by
themselves an explanation of what a model says.)";

struct AttendOptions {
  std::string text;
  TextOptions model;
  AttentionOptions attention;
  std::string from;
  bool stats = false;
  bool json = false;
  std::string npy;
  std::string svg;
};

absl::Status WriteFile(const std::string& name, const std::string& bytes) {
  std::ofstream file(name, std::ios::binary | std::ios::trunc);
  file << bytes;
  file.close();
  return file ? absl::OkStatus() : absl::PermissionDeniedError(absl::StrCat("cannot write ", name));
}

std::vector<std::string> Names(const AttentionMaps& maps, v1::AttentionReduce reduce) {
  std::vector<std::string> names;
  for (const HeadMap& map : maps.maps) names.push_back(MapName(map.layer, map.head, reduce));
  return names;
}

// How many maps a line: as many as the first layer has.
int PerLine(const AttentionMaps& maps) {
  int count = 0;
  while (count < static_cast<int>(maps.maps.size()) && maps.maps[count].layer == maps.maps[0].layer) ++count;
  return std::max(1, count);
}

std::string SvgOf(const AttentionMaps& maps, const std::vector<std::string>& names, const std::string& text) {
  const std::string quoted = absl::StrCat("“", Fit(text, 90), "”");
  if (maps.maps.size() == 1) {
    return MapSvg(maps.maps[0], absl::StrCat(maps.model, " ", names[0]), quoted, maps.row_labels, maps.column_labels);
  }
  const int per_line = PerLine(maps);
  const int across = per_line > 12 || per_line < 2            ? 6
                     : per_line > 6 && maps.maps.size() <= 12 ? (per_line + 1) / 2
                                                              : per_line;
  const bool one_layer = maps.maps[0].layer == maps.maps.back().layer && maps.maps[0].layer >= 0;
  return GridSvg(maps.maps, names, across,
                 absl::StrCat(maps.model, one_layer ? absl::StrCat(" layer ", maps.maps[0].layer) : "", ", ",
                              Count(maps.maps.size(), "map")),
                 quoted);
}

// The rows of a word: of all its pieces.
absl::StatusOr<std::vector<int>> RowsOf(const AttentionMaps& maps, bool words, const std::string& from,
                                        const std::string& text) {
  std::vector<int> rows;
  if (words) {
    for (int r = 0; r < static_cast<int>(maps.row_labels.size()) && rows.empty(); ++r) {
      if (absl::EqualsIgnoreCase(maps.row_labels[r], from)) rows.push_back(r);
    }
    if (rows.empty()) return absl::NotFoundError(absl::StrCat("no word '", Fit(from, 40), "' in the text"));
    return rows;
  }
  const auto word = FindWord(WordsOf(maps.tokens, text), from);
  if (!word.ok()) return word.status();
  for (int r = 0; r < static_cast<int>(maps.row_begins.size()); ++r) {
    if (maps.row_begins[r] >= word->begin_token && maps.row_begins[r] < word->end_token) rows.push_back(r);
  }
  if (rows.empty()) return absl::NotFoundError(absl::StrCat("'", Fit(from, 40), "' has no row in the maps"));
  return rows;
}

int Draw(VerbContext& context, const AttendOptions& options, const AttentionMaps& maps,
         const std::vector<std::string>& names, const std::string& text) {
  Io& io = context.io;
  const bool one = maps.maps.size() == 1;
  io.out << Bold(absl::StrCat(maps.model, " ", one ? names[0] : Count(maps.maps.size(), "map")), io.colors)
         << absl::StrFormat("  %s%s, %s ms (%s)\n", Count(maps.tokens.size(), "token"),
                            maps.truncated ? " (cut to what the model takes)" : "",
                            Milliseconds(maps.timings.total_ns() / 1e6), StageLine(maps.timings));
  const HeadStatistics* statistics = one ? maps.Statistics(maps.maps[0].layer, maps.maps[0].head) : nullptr;
  if (!options.from.empty()) {
    const auto rows = RowsOf(maps, options.attention.words, options.from, text);
    if (!rows.ok()) return context.Usage(std::string(rows.status().message()));
    for (size_t m = 0; m < maps.maps.size(); ++m) {
      if (!one) io.out << Bold(names[m], io.colors) << "\n";
      io.out << maps.row_labels[rows->front()] << " →\n"
             << RowBars(MeanRow(maps.maps[m].weights, *rows), maps.column_labels, io);
    }
  } else if (one) {
    const Matrix& weights = maps.maps[0].weights;
    io.out << Heatmap(weights, maps.row_labels, maps.column_labels, io) << Legend(weights.Maximum(), io);
  } else {
    int pool = 1;
    io.out << SmallMultiples(maps.maps, names, PerLine(maps), io, pool);
    io.out << Dim(absl::StrCat(
                      "each on its own scale; rows ask, columns answer",
                      pool > 1 ? absl::StrFormat("; a cell is the largest of %d x %d weights", pool, pool) : ""),
                  io.colors)
           << "\n";
  }
  if (statistics != nullptr) io.out << HeadSummary(*statistics, HeadKind(*statistics, maps.tokens));
  return kExitOk;
}

int Run(VerbContext& context, const AttendOptions& options) {
  auto spec = MakeSpec(options.attention);
  if (!spec.ok()) return context.Usage(std::string(spec.status().message()));
  const auto text = ReadText(options.text, context.io);
  if (!text.ok()) return context.Fail(text.status());

  const bool statistics_alone = options.stats && options.npy.empty() && options.svg.empty();
  spec->set_content(statistics_alone ? v1::ATTENTION_CONTENT_STATISTICS : v1::ATTENTION_CONTENT_MAPS_AND_STATISTICS);
  AddStatistics(*spec);
  v1::AttendRequest request;
  request.set_model(options.model.model);
  request.set_text(*text);
  request.set_truncate(options.model.truncation());
  *request.mutable_attention() = *spec;
  grpc::Status status;
  const auto maps = Attend(context.client(), request, status);
  if (!status.ok()) return context.Fail(status);
  if (!maps.ok()) return context.Fail(maps.status());
  const std::vector<std::string> names = Names(*maps, spec->reduce());

  if (!options.npy.empty()) {
    if (const auto written = WriteFile(options.npy, AttentionNpy(*maps)); !written.ok()) return context.Fail(written);
  }
  if (!options.svg.empty()) {
    if (maps->maps.empty()) return context.Fail(absl::NotFoundError("there is no map to draw"));
    const auto written = WriteFile(options.svg, SvgOf(*maps, names, *text));
    if (!written.ok()) return context.Fail(written);
  }
  if (options.json) {
    context.io.out << AttentionJson(*maps);
    return kExitOk;
  }
  if (options.stats) {
    std::vector<HeadRow> rows;
    for (const auto& head : maps->statistics) rows.push_back({head, HeadKind(head, maps->tokens)});
    context.io.out << HeadTable(rows, context.io);
    return kExitOk;
  }
  if (!options.npy.empty() || !options.svg.empty()) {
    for (const std::string& name : {options.npy, options.svg}) {
      if (!name.empty()) context.io.out << "wrote " << name << ", " << Count(maps->maps.size(), "map") << "\n";
    }
    return kExitOk;
  }
  if (maps->maps.empty()) return context.Fail(absl::NotFoundError("the selection holds no map"));
  return Draw(context, options, *maps, names, *text);
}

}  // namespace

void AddAttend(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<AttendOptions>();
  CLI::App* verb = AddVerb(app, context, "attend", "Attention maps of a text: one head, a layer, or all",
                           kAttendExamples, [&context, options] { return Run(context, *options); });
  Verbatim(verb->add_option("TEXT", options->text, "The text; @FILE; - for standard input"))->required();
  AddAttentionOptions(verb, options->attention);
  Verbatim(verb->add_option("--from", options->from, "One row, as bars: of this word, or of token #N"));
  verb->add_flag("--stats", options->stats, "The table of the heads instead of maps");
  verb->add_flag("--json", options->json, "Everything as JSON");
  verb->add_option("--npy", options->npy, "Save [maps, rows, columns] as .npy");
  verb->add_option("--svg", options->svg, "Save the picture");
  AddTextOptions(verb, options->model);
}

}  // namespace attnd
