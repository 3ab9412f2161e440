// What is drawn and written, without a server.
#include <gmock/gmock.h>

#include <cmath>
#include <sstream>

#include "client/bench/report.h"
#include "client/format.h"
#include "client/input.h"
#include "client/io.h"
#include "client/metrics_text.h"
#include "client/npy.h"
#include "client/render/heatmap.h"
#include "client/render/palette.h"
#include "client/render/server_stats.h"
#include "client/render/svg.h"
#include "client/verbs/attention_options.h"
#include "gtest/gtest.h"

namespace attnd {
namespace {

using testing::HasSubstr;

struct Streams {
  std::istringstream in;
  std::ostringstream out, err;
  Io io{in, out, err};
};

TEST(Format, Numbers) {
  EXPECT_EQ(Thousands(999), "999");
  EXPECT_EQ(Thousands(1204), "1,204");
  EXPECT_EQ(Thousands(1234567), "1,234,567");
  EXPECT_EQ(Bytes(1023), "1023 B");
  EXPECT_EQ(Bytes(1536), "1.5 KiB");
  EXPECT_EQ(Count(1, "text"), "1 text");
}

TEST(Format, FitCountsColumnsAndDropsControls) {
  EXPECT_EQ(Fit("A cat sat on", 8), "A cat s…");
  EXPECT_EQ(Fit("日本語", 5), "日本…");
  EXPECT_EQ(Fit("a\x1b[31mb\n", 20), "a [31mb ");
  EXPECT_EQ(PadLeft("ab", 4), "  ab");
}

TEST(Colors, TerminalAndNoColorDecide) {
  EXPECT_EQ(DetectColors("auto", true, {nullptr, "truecolor", "xterm-256color"}), Colors::kTrue);
  EXPECT_EQ(DetectColors("auto", true, {nullptr, nullptr, "xterm-256color"}), Colors::k256);
  EXPECT_EQ(DetectColors("auto", true, {"1", "truecolor", "xterm"}), Colors::kNone);
  EXPECT_EQ(DetectColors("auto", true, {"", "truecolor", "xterm"}), Colors::kTrue);
  EXPECT_EQ(DetectColors("auto", false, {nullptr, "truecolor", "xterm"}), Colors::kNone);
  EXPECT_EQ(DetectColors("auto", true, {nullptr, nullptr, "dumb"}), Colors::kNone);
  EXPECT_EQ(DetectColors("always", false, {"1", nullptr, nullptr}), Colors::kTrue);
  EXPECT_EQ(DetectColors("never", true, {nullptr, "truecolor", nullptr}), Colors::kNone);
}

TEST(Palette, EndsAndFallbacks) {
  EXPECT_EQ(Hex(PaletteColor(0)), "#0b091c");
  EXPECT_EQ(Hex(PaletteColor(2)), "#fcfdbf");
  EXPECT_EQ(Nearest256({255, 0, 0}), 196);
  EXPECT_EQ(Nearest256({128, 128, 128}), 244);
  EXPECT_EQ(Shade(0), ' ');
  EXPECT_EQ(Shade(1), '@');
  EXPECT_DOUBLE_EQ(Level(0.25, 1), 0.5);
  EXPECT_DOUBLE_EQ(Level(1, 0), 0);
}

TEST(Heatmap, GoldenAscii) {
  Streams streams;
  streams.io.columns = 40;
  EXPECT_EQ(Heatmap({2, 2, {1, 0, 0.25, 0.75}}, {"the", "cat"}, {"the", "cat"}, streams.io),
            "    t c\n"
            "    h a\n"
            "    e t\n"
            "the @@  |  → the 1.00\n"
            "cat ++%%|  → cat 0.75  the 0.25\n");
}

TEST(Heatmap, HalfBlocksHoldTwoRows) {
  const auto lines = CellLines({2, 1, {1, 0}}, {.half_blocks = true}, 1, Colors::kTrue);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0], "\x1b[38;2;252;253;191m\x1b[48;2;11;9;28m▀\x1b[0m");
  EXPECT_THAT(CellLines({1, 1, {1}}, {.half_blocks = true}, 1, Colors::k256)[0], HasSubstr("\x1b[38;5;"));
}

TEST(Heatmap, PlansForTheWidth) {
  const std::vector<std::string> few(10, "word"), many(200, "word");
  const HeatmapPlan wide = PlanHeatmap(100, Colors::kTrue, few, few);
  EXPECT_EQ(wide.cell_columns, 3);
  EXPECT_EQ(wide.pool, 1);
  EXPECT_TRUE(wide.answers);
  EXPECT_FALSE(wide.half_blocks);
  const HeatmapPlan pooled = PlanHeatmap(80, Colors::kTrue, many, many);
  EXPECT_TRUE(pooled.half_blocks);
  EXPECT_EQ(pooled.pool, 3);  // 200 columns into 74
  const HeatmapPlan tiny = PlanHeatmap(12, Colors::kNone, many, many);
  EXPECT_EQ(tiny.label_columns, 0);
  EXPECT_LE((200 + tiny.pool - 1) / tiny.pool * tiny.cell_columns, 12);
  Streams streams;
  streams.io.columns = 60;
  EXPECT_THAT(Heatmap({200, 200, std::vector<float>(40000, 0.005F)}, many, many, streams.io),
              HasSubstr("pooled to the width: a cell is the largest of"));
}

TEST(Heatmap, PoolKeepsPeaks) {
  const Matrix pooled = Pool({3, 3, {0, 0, 0, 0, 0.9F, 0, 0, 0, 0.2F}}, 2);
  EXPECT_EQ(pooled.rows, 2);
  EXPECT_THAT(pooled.values, testing::ElementsAre(0.9F, 0, 0, 0.2F));
}

TEST(Svg, OneFileWithoutReferences) {
  const std::string svg = MapSvg({3, 5, {1, 2, {0.25F, 0.75F}}}, "minilm L3H5", "\"a\" & b", {"a"}, {"a", "b"});
  EXPECT_THAT(svg, testing::StartsWith("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  EXPECT_THAT(svg, HasSubstr("&quot;a&quot; &amp; b"));
  EXPECT_THAT(svg, HasSubstr("<title>a → b  0.750</title>"));
  EXPECT_THAT(svg, testing::Not(HasSubstr("href")));
  EXPECT_THAT(svg, testing::EndsWith("</svg>\n"));
}

TEST(Words, PiecesJoinAndAreFound) {
  std::vector<v1::Token> tokens(3);
  tokens[0].set_text("un");
  tokens[0].set_end(2);
  tokens[1].set_text("##done");
  tokens[1].set_begin(2);
  tokens[1].set_end(6);
  tokens[2].set_text("[SEP]");
  tokens[2].set_special(true);
  tokens[2].set_word(-1);
  const auto words = WordsOf(tokens, "undone");
  ASSERT_EQ(words.size(), 2U);
  EXPECT_EQ(words[0].text, "undone");
  EXPECT_EQ(FindWord(words, "Undone")->end_token, 2);
  EXPECT_EQ(FindWord(words, "#1")->begin_token, 1);
  EXPECT_FALSE(FindWord(words, "done").ok());
}

TEST(Words, AreFoundWithoutTheSpaceOfADecodersTokens) {
  std::vector<v1::Token> tokens(2);
  tokens[0].set_end(4);
  tokens[1].set_begin(4);
  tokens[1].set_end(9);
  tokens[1].set_word(1);
  const auto words = WordsOf(tokens, "Mary John");
  ASSERT_EQ(words.size(), 2U);
  EXPECT_EQ(FindWord(words, "john")->begin_token, 1);
}

TEST(Selection, LayersAndHeads) {
  EXPECT_EQ(*SelectionText("3", "5"), "3:5");
  EXPECT_EQ(*SelectionText("L3", ""), "3:*");
  EXPECT_EQ(*SelectionText("", "H5"), "*:5");
  EXPECT_EQ(*SelectionText("", "L3H5"), "L3H5");
  EXPECT_EQ(*SelectionText("", ""), "");
  EXPECT_FALSE(SelectionText("3", "L3H5").ok());
}

TEST(Npy, HeaderIsAlignedAndExact) {
  const std::string file = NpyFile({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(file.size(), kNpyHeaderBytes + 24U);
  EXPECT_EQ(file.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  EXPECT_EQ(static_cast<unsigned char>(file[8]) + 256 * static_cast<unsigned char>(file[9]), kNpyHeaderBytes - 10);
  EXPECT_THAT(file, HasSubstr("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"));
  EXPECT_EQ(file[kNpyHeaderBytes - 1], '\n');
  EXPECT_THAT(NpyHeader({7}), HasSubstr("'shape': (7,)"));
}

constexpr char kMetrics[] = R"(# HELP attnd_request_compute_seconds x
attnd_request_compute_seconds_bucket{method="Embed",le="0.001"} 10
attnd_request_compute_seconds_bucket{method="Embed",le="0.002"} 30
attnd_request_compute_seconds_bucket{method="Embed",le="+Inf"} 40
attnd_request_compute_seconds_sum{method="Embed"} 0.08
attnd_request_compute_seconds_count{method="Embed"} 40
attnd_rejected_total{reason="queue_full"} 3
attnd_rejected_total{reason="deadline"} 0
grpc_server_handled_total{grpc_service="attnd.v1.Attnd",grpc_code="OK"} 40
grpc_server_handled_total{grpc_service="attnd.v1.Attnd",grpc_code="Internal"} 2
grpc_server_handled_total{grpc_service="unknown",grpc_code="OK"} 1000
process_start_time_seconds 1000
attnd_model_info{model="a \"b\"",precision="f32"} 1
)";

TEST(MetricsText, ParsesAndInterpolates) {
  auto samples = ParseMetrics(kMetrics);
  ASSERT_TRUE(samples.ok()) << samples.status();
  const Scrape scrape(*std::move(samples));
  const Histogram histogram = scrape.Merge("attnd_request_compute_seconds");
  EXPECT_DOUBLE_EQ(histogram.Quantile(0.25), 0.001);
  EXPECT_DOUBLE_EQ(histogram.Quantile(0.5), 0.0015);
  EXPECT_DOUBLE_EQ(histogram.Quantile(0.99), 0.002);  // beyond the last finite bound
  EXPECT_DOUBLE_EQ(histogram.Mean(), 0.002);
  EXPECT_TRUE(std::isnan(Histogram{}.Quantile(0.5)));
  EXPECT_THAT(scrape.Values("attnd_model_info", "model"), testing::ElementsAre("a \"b\""));
  const ServerStats stats = Summarize(scrape, nullptr, 0, 1021);
  EXPECT_DOUBLE_EQ(stats.requests_per_s, 2);
  EXPECT_THAT(stats.refused, testing::ElementsAre(std::pair<std::string, double>("queue_full", 3)));
  const ServerStats idle = Summarize(scrape, &scrape, 2, 1021);
  EXPECT_DOUBLE_EQ(idle.requests_per_s, 0);
  EXPECT_TRUE(std::isnan(idle.stages[3].p50_ms));
  EXPECT_THAT(StatsJson(idle), HasSubstr("\"p50_ms\":null"));
  EXPECT_FALSE(ParseMetrics("broken{a=\"b").ok());
}

TEST(BenchReport, PercentilesAndHistogram) {
  std::vector<double> values;
  for (int i = 100; i >= 0; --i) values.push_back(i);
  const Percentiles percentiles = PercentilesOf(values);
  EXPECT_DOUBLE_EQ(percentiles.p50, 50);
  EXPECT_DOUBLE_EQ(percentiles.p99, 99);
  EXPECT_DOUBLE_EQ(percentiles.maximum, 100);
  EXPECT_EQ(LatencyHistogram({1, 1, 10}, 2, 4, true), "    1.00 -     3.16  #### 2\n    3.16 -     10.0  ## 1\n");
}

// Rates are of the window's share of every call, times of the calls that ended in it.
TEST(BenchReport, CountsTheShareOfACallInsideTheWindow) {
  LoadResult result{.seconds = 2,
                    .samples = {{.latency_ms = 2, .tokens = 10, .share = 0.25},
                                {.latency_ms = 4, .tokens = 10},
                                {.latency_ms = 6, .tokens = 20, .share = 0.75, .ended = false}}};
  const BenchReport report = MakeReport({.texts_per_call = 3}, result);
  EXPECT_EQ(report.calls, 2);
  const std::vector<std::pair<std::string, double>> rates = {
      {"calls_per_s", 1}, {"texts_per_s", 3}, {"tokens_per_s", 13.75}};
  EXPECT_EQ(report.rates, rates);
  EXPECT_EQ(report.samples_ms, (std::vector<double>{2, 4}));
  // Where none ended there, of all.
  for (CallSample& sample : result.samples) sample.ended = false;
  EXPECT_EQ(MakeReport({.texts_per_call = 3}, result).calls, 3);
}

TEST(BenchReport, ComparesWithAnEarlierOne) {
  LoadResult result{.seconds = 1, .samples = {{.latency_ms = 2, .tokens = 10}, {.latency_ms = 4, .tokens = 10}}};
  const BenchReport before = MakeReport({}, result);
  for (auto& sample : result.samples) sample.latency_ms *= 2;
  const auto text = CompareReports(ReportJson(before), MakeReport({}, result));
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr("latency_p50_ms      3.00  6.00  +100.0 %"));
  EXPECT_FALSE(CompareReports("[]", before).ok());
}

TEST(Utf8, RefusesOverlongSurrogatesAndBrokenEnds) {
  EXPECT_TRUE(IsUtf8("aé日😀"));
  for (const char* bad : {"\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe6\x97", "\x80"}) {
    EXPECT_FALSE(IsUtf8(bad));
  }
}

}  // namespace
}  // namespace attnd
