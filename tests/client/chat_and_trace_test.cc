// chat, trace and bench --generate against a small server in this process.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <string>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/trace/trace.h"
#include "tests/client/generation_fixture.h"
#include "tests/temp_files.h"

namespace attnd {
namespace {

using testing::HasSubstr;

class ChatTest : public GenerationVerbsTest {};

TEST_F(ChatTest, APipesLinesAreTurns) {
  EXPECT_EQ(Attn({"chat", "--system", "be brief"}, "who is it\n\nand then\n"), kExitOk);
  EXPECT_EQ(out_.str(), " sat on a m\xC3\xA4t.\n sat on a m\xC3\xA4t.\n");
  EXPECT_EQ(err_.str(), "");
  const v1::ChatRequest& chat = service_.last_chat;
  ASSERT_EQ(chat.messages_size(), 4);
  EXPECT_EQ(chat.messages(0).role(), "system");
  EXPECT_EQ(chat.messages(1).content(), "who is it");
  EXPECT_EQ(chat.messages(2).role(), "assistant");
  EXPECT_EQ(chat.messages(2).content(), " sat on a m\xC3\xA4t.");
  EXPECT_EQ(chat.messages(3).content(), "and then");
}

TEST_F(ChatTest, Commands) {
  const std::string path = TempPath("chat.json");
  EXPECT_EQ(Attn({"chat"}, absl::StrCat("/system speak\none\n/reset\n//two\n/save ", path, "\n/quit\nnever\n")),
            kExitOk);
  ASSERT_EQ(service_.last_chat.messages_size(), 2);
  EXPECT_EQ(service_.last_chat.messages(0).content(), "speak");
  EXPECT_EQ(service_.last_chat.messages(1).content(), "/two");
  const auto saved = nlohmann::json::parse(FileText(path));
  EXPECT_EQ(saved["model"], "fake");
  EXPECT_EQ(saved["messages"].size(), 3U);
  EXPECT_EQ(saved["messages"][2]["role"], "assistant");
  EXPECT_EQ(Attn({"chat"}, "/help\n"), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("/save FILE"));
  EXPECT_EQ(Attn({"chat"}, "/fly\n"), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("no such command: /fly"));
  EXPECT_EQ(Attn({"chat"}, "/save /no/such/folder/x\n"), kExitFailed);
}

TEST_F(ChatTest, AFailedTurnIsForgottenAndTheNextGoesOn) {
  EXPECT_EQ(Attn({"chat"}, "one\nbad\ntwo\n\xff\n"), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("INVALID_ARGUMENT: messages[0].content: it is bad"));
  EXPECT_THAT(err_.str(), HasSubstr("not UTF-8"));
  ASSERT_EQ(service_.last_chat.messages_size(), 3);
  EXPECT_EQ(service_.last_chat.messages(2).content(), "two");
  address_ = "127.0.0.1:1";
  EXPECT_EQ(Attn({"chat"}, "one\ntwo\n"), kExitUnreachable);
}

TEST_F(ChatTest, CtrlCStopsTheAnswerNotTheProgram) {
  int turn = 0;
  service_.before_token = [&](grpc::ServerContext* context, int i) {
    if (i == 0) ++turn;
    if (turn > 1 || i < 2) return;
    while (!context->IsCancelled()) std::this_thread::yield();
  };
  interrupt_at_ = " sat on";
  EXPECT_EQ(Attn({"chat"}, "one\ntwo\n"), kExitOk);
  EXPECT_EQ(out_.str(), " sat on\n sat on a m\xC3\xA4t.\n");
  ASSERT_EQ(service_.last_chat.messages_size(), 3);
  EXPECT_EQ(service_.last_chat.messages(1).content(), " sat on");
}

class TraceTest : public GenerationVerbsTest {
 protected:
  // The text of the element `id` of the page.
  static std::string Block(const std::string& page, const std::string& id) {
    const size_t begin = page.find('>', page.find(absl::StrCat("id=\"", id, "\">"))) + 1;
    return page.substr(begin, page.find("</script>", begin) - begin);
  }
  static std::string Bytes(const std::string& page, const std::string& id) {
    std::string bytes;
    EXPECT_TRUE(absl::Base64Unescape(Block(page, id), &bytes)) << id;
    return bytes;
  }
};

TEST_F(TraceTest, ThePageHoldsEveryWeight) {
  const std::string path = TempPath("trace.html");
  service_.words[0] = " </script><b>";
  EXPECT_EQ(Attn({"trace", "the cat said", "--out", path, "--max-tokens", "3"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr(": 3 tokens of prompt, 3 of answer, 4 heads\n"));
  const std::string page = FileText(path);
  const auto meta = nlohmann::json::parse(Block(page, "meta"));
  EXPECT_EQ(meta["prompt"][1]["text"], " cat");
  EXPECT_EQ(meta["answer"][0]["text"], " </script><b>");
  EXPECT_EQ(meta["heads"], nlohmann::json({{0, 0}, {0, 1}, {1, 0}, {1, 1}}));
  const std::string weights = Bytes(page, "weights"), scales = Bytes(page, "scales"),
                    statistics = Bytes(page, "statistics");
  ASSERT_EQ(weights.size(), 4U * (3 + 4 + 5));
  ASSERT_EQ(scales.size(), 3U * 4 * sizeof(float));
  ASSERT_EQ(statistics.size(), 4U * 3 * 4 * sizeof(float));
  size_t at = 0;
  for (int t = 0; t < 3; ++t) {
    for (int head = 0; head < 4; ++head) {
      float scale = 0;
      std::memcpy(&scale, scales.data() + (t * 4 + head) * sizeof(float), sizeof(scale));
      const int query = 3 + t - 1, key = std::max(0, query - head / 2 - head % 2);
      for (int c = 0; c <= query; ++c) {
        const double level = static_cast<unsigned char>(weights[at++]) / 255.0;
        EXPECT_NEAR(scale * level * level, c == key ? 1 : 0, 0.004) << t << " " << head << " " << c;
      }
    }
  }
  float entropy = 0, copy = 0;  // of the last token and head
  std::memcpy(&entropy, statistics.data() + (0 * 12 + 11) * sizeof(float), sizeof(entropy));
  std::memcpy(&copy, statistics.data() + (3 * 12 + 11) * sizeof(float), sizeof(copy));
  EXPECT_EQ(entropy, 1);
  EXPECT_EQ(copy, 0.125F);
}

TEST_F(TraceTest, ThePageIsWholeAndFetchesNothing) {
  const std::string path = TempPath("trace.html");
  EXPECT_EQ(Attn({"trace", "the cat", "--out", path}), kExitOk);
  const std::string page = FileText(path);
  const auto holds = [&page](const char* text) { return page.find(text) != std::string::npos; };
  EXPECT_FALSE(holds("{{"));
  EXPECT_TRUE(holds("default-src 'none'"));
  for (const char* fetch : {"src=\"", "href=\"", "@import", "fetch(", "XMLHttpRequest", "url(\"", "url(http"}) {
    EXPECT_FALSE(holds(fetch)) << fetch;
  }
  EXPECT_TRUE(holds("function drawGrid"));
  EXPECT_TRUE(holds("</html>"));
}

TEST_F(TraceTest, SizesAreBoundedAndTold) {
  // 4 heads, rows of 3 + 4 + 5 columns; 3 x 4 scales of 4 bytes; four times as many statistics. All in base64.
  EXPECT_EQ(TraceBytes(3, 3, 4), 64U + 64U + 256U);
  EXPECT_EQ(TraceBytes(3, 0, 4), 0U);
  const std::string path = TempPath("large.html");
  EXPECT_EQ(Attn({"trace", "the cat", "--out", path, "--max-bytes", "1000", "--max-tokens", "500"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("--max-bytes allows 1000 B"));
  EXPECT_EQ(FileText(path), "");
  EXPECT_EQ(Attn({"trace", "the cat", "--out", "/no/such/folder/x.html"}), kExitFailed);
  EXPECT_EQ(Attn({"trace", "the cat"}), kExitUsage);
}

TEST_F(GenerationVerbsTest, BenchMeasuresTokens) {
  EXPECT_EQ(Attn({"bench", "--generate", "--duration", "0.2", "--warmup", "0", "--prompt-tokens", "70",
                  "--answer-tokens", "5", "-c", "2", "-o", "json"}),
            kExitOk)
      << err_.str();
  const auto report = nlohmann::json::parse(out_.str());
  EXPECT_EQ(report["load"], "closed loop, 2 callers, prompts of 70 tokens, answers of 5");
  EXPECT_GT(report["figures"]["tokens_per_s"], 0);
  EXPECT_GT(report["figures"]["first_token_p99_ms"], 0);
  EXPECT_LE(report["figures"]["inter_token_p50_ms"], report["figures"]["inter_token_p99_ms"]);
  EXPECT_EQ(service_.last_request.input_ids().ids_size(), 70);
  EXPECT_TRUE(service_.last_request.options().ignore_eos());
  EXPECT_EQ(Attn({"bench", "--generate", "--rate", "5"}), kExitUsage);
  EXPECT_EQ(Attn({"bench", "--generate", "--duration", "0.1", "--warmup", "0"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("inter token"));
  EXPECT_THAT(out_.str(), HasSubstr("prompt tokens/s"));
}

}  // namespace
}  // namespace attnd
