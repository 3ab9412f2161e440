// The verbs of encoders, and what all verbs have in common, against a small server in this process.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "tests/client/attn_fixture.h"
#include "tests/client/fake_encoder.h"
#include "tests/temp_files.h"

namespace attnd {
namespace {

using testing::HasSubstr;

struct Outcome {
  int code = 0;
  std::string out, err;
};

class EncoderVerbsTest : public AttnTest {
 protected:
  std::vector<grpc::Service*> Services() override { return {&service_, &health_}; }
  // One run with all that came of it.
  Outcome Attn(const std::vector<std::string>& arguments, const std::string& input = "") {
    const int code = AttnTest::Attn(arguments, input);
    return {code, out_.str(), err_.str()};
  }

  FakeEncoder service_;
  FakeHealth health_;
};

TEST_F(EncoderVerbsTest, EmbedWritesALineATextInOrder) {
  std::string input;
  for (int i = 0; i < 100; ++i) input += i % 2 == 0 ? "one\n" : "one two three\n";
  const Outcome run = Attn({"embed", "--batch", "7"}, input);
  EXPECT_EQ(run.code, kExitOk) << run.err;
  std::istringstream lines(run.out);
  std::string line;
  int number = 0;
  while (std::getline(lines, line)) {
    ++number;
    EXPECT_THAT(line, testing::StartsWith("{\"id\":" + std::to_string(number) +
                                          ",\"tokens\":" + (number % 2 == 1 ? "3" : "5") + ",\"embedding\":["));
  }
  EXPECT_EQ(number, 100);
}

TEST_F(EncoderVerbsTest, EmbedNamesTheLineThatFailedAndGoesOn) {
  const Outcome run = Attn({"embed"}, "one\ntwo\na b c d e f g h i\nthree\n\xff\xfe\n");
  EXPECT_EQ(run.code, kExitFailed);
  EXPECT_THAT(run.err, HasSubstr("attn: line 3: INVALID_ARGUMENT: the text has 11 tokens, at most 8 are "
                                 "allowed (pass --truncate end, or split it)"));
  EXPECT_THAT(run.err, HasSubstr("attn: line 5: INVALID_ARGUMENT: the text is not UTF-8"));
  EXPECT_THAT(run.err, HasSubstr("2 texts of 5 failed"));
  EXPECT_THAT(run.out, HasSubstr("{\"id\":4,\"tokens\":3,\"embedding\""));
  EXPECT_THAT(run.out, HasSubstr("{\"error\":\"INVALID_ARGUMENT: the text has"));
  EXPECT_EQ(Attn({"embed", "--truncate", "end", "a b c d e f g h i"}).code, kExitOk);
}

TEST_F(EncoderVerbsTest, EmbedSavesNpyWithTheCountOfRows) {
  const std::string path = TempPath("embed.npy");
  const Outcome run = Attn({"embed", "--format", "npy", "-o", path, "one", "two three"});
  EXPECT_EQ(run.code, kExitOk) << run.err;
  const std::string bytes = FileText(path);
  EXPECT_EQ(bytes.size(), 192U + 2 * 2 * sizeof(float));
  EXPECT_THAT(bytes, HasSubstr("'shape': (2, 2)"));
  float first = 0;
  std::memcpy(&first, bytes.data() + 192, sizeof(first));
  EXPECT_FLOAT_EQ(first, std::cos(3.0F));
}

TEST_F(EncoderVerbsTest, EmbedShowsSimilarities) {
  const Outcome run = Attn({"embed", "--similarity", "same", "same", "another one"});
  EXPECT_EQ(run.code, kExitOk);
  EXPECT_THAT(run.out, HasSubstr("1 same"));
  EXPECT_THAT(run.out, HasSubstr(" 1.000  1.000  0.540"));
  EXPECT_THAT(run.out, HasSubstr("3 texts, 10 tokens, "));
}

TEST_F(EncoderVerbsTest, AttendDrawsInAsciiWithoutATerminal) {
  const Outcome run = Attn({"attend", "the cat sat", "--layer", "3", "--head", "5"});
  EXPECT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.out, HasSubstr("fake L3H5  5 tokens"));
  EXPECT_THAT(run.out, HasSubstr("  cat   @@      |  → the 1.00\n"));
  EXPECT_THAT(run.out, HasSubstr("rows ask, columns answer"));
  EXPECT_THAT(run.out, HasSubstr("previous: entropy 0.50 nats of 1.61"));
  EXPECT_THAT(run.out, testing::Not(HasSubstr("\x1b")));
}

TEST_F(EncoderVerbsTest, AttendSaysWhatTheServerRefused) {
  const Outcome run = Attn({"attend", "the cat", "--layer", "9"});
  EXPECT_EQ(run.code, kExitFailed);
  EXPECT_THAT(run.err, HasSubstr("attn: INVALID_ARGUMENT: attention.select: layer 9"));
}

TEST_F(EncoderVerbsTest, AttendSavesFilesAndPrintsJson) {
  const std::string svg = TempPath("attend.svg"), npy = TempPath("attend.npy");
  EXPECT_EQ(Attn({"attend", "a <b> c", "--head", "L3H5", "--svg", svg, "--npy", npy}).code, kExitOk);
  const std::string bytes = FileText(svg);
  EXPECT_THAT(bytes, HasSubstr("a &lt;b&gt; c"));
  EXPECT_THAT(bytes, testing::Not(HasSubstr("<b>")));
  const Outcome run = Attn({"attend", "a b", "--head", "L3H5", "--json"});
  EXPECT_THAT(run.out, HasSubstr("\"columns\":[\"[CLS]\",\"a\",\"b\",\"[SEP]\"]"));
}

TEST_F(EncoderVerbsTest, AttendFromAWordIsItsRow) {
  const Outcome run = Attn({"attend", "the cat sat", "--head", "L3H5", "--from", "SAT"});
  EXPECT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.out, HasSubstr("  cat 1.00 ####"));
  const Outcome absent = Attn({"attend", "the cat sat", "--head", "L3H5", "--from", "dog"});
  EXPECT_EQ(absent.code, kExitUsage);
  EXPECT_THAT(absent.err, HasSubstr("no word 'dog' in the text; there are: [CLS] the cat sat [SEP]"));
}

TEST_F(EncoderVerbsTest, BracketedTextsAreNoLists) {
  const Outcome run = Attn({"tokenize", "--ids", "[a,b]"});
  EXPECT_EQ(run.code, kExitOk);
  EXPECT_EQ(run.out, "0 101 0\n");
  EXPECT_THAT(Attn({"tokenize", "--json", "[a,b]"}).out, HasSubstr("\"text\":\"[a,b]\""));
}

TEST_F(EncoderVerbsTest, InductionIsShownWhereATokenRepeats) {
  const std::string twice = "the cat the cat";
  for (const std::vector<std::string>& table :
       {std::vector<std::string>{"heads", twice}, {"attend", twice, "--stats"}}) {
    EXPECT_THAT(Attn(table).out, testing::AllOf(HasSubstr("induct  dup  kind"), HasSubstr("0.25    ·  previous")));
  }
  EXPECT_THAT(Attn({"attend", twice, "--head", "L3H5"}).out, HasSubstr("\ninduction 0.25, duplicate 0.00\n"));
  EXPECT_THAT(Attn({"heads", twice, "--sort", "induction", "--json"}).out,
              testing::AllOf(HasSubstr("\"induction\":0.25"), HasSubstr("\"duplicate\":0.0")));
  EXPECT_THAT(Attn({"heads", "the cat"}).out, testing::Not(HasSubstr("induct")));
  EXPECT_THAT(Attn({"attend", "the cat", "--head", "L3H5"}).out, testing::Not(HasSubstr("induction")));
}

TEST_F(EncoderVerbsTest, OtherVerbs) {
  EXPECT_THAT(Attn({"heads", "the cat"}).out, HasSubstr("L3H5"));
  EXPECT_THAT(Attn({"models"}).out, HasSubstr("6 x 12"));
  EXPECT_EQ(Attn({"estimate", "--tokens", "16"}).code, kExitOk);
  EXPECT_EQ(Attn({"estimate", "--tokens", "512"}).code, kExitFailed);
  EXPECT_THAT(Attn({"bench", "--duration", "0.05", "--warmup", "0", "-o", "json"}).out, HasSubstr("latency_p99_ms"));
  EXPECT_THAT(Attn({"bench", "--duration", "0.05", "--warmup", "0", "--rate", "500", "-o", "csv"}).out,
              HasSubstr("open loop, 500 calls/s offered"));
}

TEST_F(EncoderVerbsTest, HealthByExitCode) {
  EXPECT_EQ(Attn({"health"}).code, kExitOk);
  EXPECT_EQ(Attn({"health", "--model", "draining"}).code, kExitFailed);
  EXPECT_EQ(Attn({"health", "--model", "absent"}).code, kExitFailed);
}

TEST_F(EncoderVerbsTest, UsageErrorsAreTwo) {
  EXPECT_EQ(Attn({}).code, kExitUsage);
  const Outcome unknown = Attn({"atend", "a text"});
  EXPECT_EQ(unknown.code, kExitUsage);
  EXPECT_THAT(unknown.err, HasSubstr("no such verb: atend; did you mean attend? The verbs: embed, classify, "));
  EXPECT_THAT(Attn({"fly"}).err, testing::Not(HasSubstr("did you mean")));
  EXPECT_EQ(Attn({"embed", "--format", "xml", "a"}).code, kExitUsage);
  EXPECT_EQ(Attn({"attend"}).code, kExitUsage);
  EXPECT_EQ(Attn({"attend", "a", "--layer", "3", "--head", "L3H5"}).code, kExitUsage);
  EXPECT_EQ(Attn({"embed", "--help"}).code, kExitOk);
  EXPECT_EQ(Attn({"--version"}).code, kExitOk);
}

TEST_F(EncoderVerbsTest, NoServerIsThreeAndNamesTheAddress) {
  address_ = "127.0.0.1:1";
  for (const std::vector<std::string>& verb :
       {std::vector<std::string>{"models"}, {"embed", "a"}, {"attend", "a"}, {"health"}, {"bench"}}) {
    const Outcome run = Attn(verb);
    EXPECT_EQ(run.code, kExitUnreachable) << verb[0];
    EXPECT_THAT(run.err, HasSubstr("no server at 127.0.0.1:1")) << verb[0];
  }
  EXPECT_EQ(Attn({"stats", "--once", "--metrics", "127.0.0.1:1"}).code, kExitUnreachable);
}

}  // namespace
}  // namespace attnd
