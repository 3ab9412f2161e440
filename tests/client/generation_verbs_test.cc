// generate and score against a small server in this process.
#include <gmock/gmock.h>

#include <string>
#include <thread>

#include "client/generation.h"
#include "client/prompt_pieces.h"
#include "client/render/context_view.h"
#include "tests/client/generation_fixture.h"

namespace attnd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST_F(GenerationVerbsTest, GenerateWritesTheAnswerAndNothingElse) {
  EXPECT_EQ(Attn({"generate", "the cat"}), kExitOk);
  EXPECT_EQ(out_.str(), " sat on a m\xC3\xA4t.\n");
  EXPECT_EQ(err_.str(), "");
  EXPECT_EQ(Attn({"generate"}, "from a pipe\n"), kExitOk);
  EXPECT_EQ(service_.last_request.text(), "from a pipe");
  EXPECT_EQ(Attn({"generate", "-"}, "from a pipe, too"), kExitOk);
  EXPECT_EQ(service_.last_request.text(), "from a pipe, too");
}

TEST_F(GenerationVerbsTest, EveryOptionReachesTheServer) {
  ASSERT_EQ(Attn({"generate",
                  "[the cat]",
                  "--model",
                  "m",
                  "--max-tokens",
                  "3",
                  "--min-tokens",
                  "2",
                  "--temperature",
                  "0.5",
                  "--top-k",
                  "40",
                  "--top-p",
                  "0.9",
                  "--min-p",
                  "0.05",
                  "--typical-p",
                  "0.8",
                  "--repetition-penalty",
                  "1.1",
                  "--presence-penalty",
                  "-0.5",
                  "--frequency-penalty",
                  "0.25",
                  "--logit-bias",
                  "7=-100",
                  "--logit-bias",
                  "8=2.5",
                  "--seed",
                  "5",
                  "--stop",
                  "END",
                  "--stop",
                  "[x]",
                  "--stop-id",
                  "9",
                  "--ignore-eos",
                  "--n",
                  "2",
                  "--prompt-logprobs",
                  "--logprobs",
                  "4",
                  "--regex",
                  "a+",
                  "--no-special"}),
            kExitOk)
      << err_.str();
  const v1::GenerateRequest& request = service_.last_request;
  EXPECT_EQ(request.text(), "[the cat]");
  EXPECT_EQ(request.model(), "m");
  EXPECT_FALSE(request.add_special_tokens());
  const v1::GenerationOptions& options = request.options();
  EXPECT_EQ(options.max_tokens(), 3U);
  EXPECT_EQ(options.min_tokens(), 2U);
  EXPECT_FLOAT_EQ(options.temperature(), 0.5F);
  EXPECT_EQ(options.top_k(), 40U);
  EXPECT_FLOAT_EQ(options.top_p(), 0.9F);
  EXPECT_FLOAT_EQ(options.min_p(), 0.05F);
  EXPECT_FLOAT_EQ(options.typical_p(), 0.8F);
  EXPECT_FLOAT_EQ(options.repetition_penalty(), 1.1F);
  EXPECT_FLOAT_EQ(options.presence_penalty(), -0.5F);
  EXPECT_FLOAT_EQ(options.frequency_penalty(), 0.25F);
  EXPECT_FLOAT_EQ(options.logit_bias().at(7), -100);
  EXPECT_FLOAT_EQ(options.logit_bias().at(8), 2.5F);
  EXPECT_EQ(options.seed(), 5U);
  EXPECT_THAT(options.stop(), ElementsAre("END", "[x]"));
  EXPECT_THAT(options.stop_ids(), ElementsAre(9));
  EXPECT_TRUE(options.ignore_eos());
  EXPECT_EQ(options.n(), 2U);
  EXPECT_TRUE(options.prompt_logprobs());
  EXPECT_EQ(options.logprobs(), 4U);
  EXPECT_EQ(options.regex(), "a+");
  ASSERT_EQ(Attn({"generate", "a", "--json-schema", "{}"}), kExitOk);
  EXPECT_EQ(service_.last_request.options().json_schema(), "{}");
  // What was not asked for is the server's to choose.
  EXPECT_FALSE(service_.last_request.options().has_temperature());
  EXPECT_FALSE(service_.last_request.options().has_max_tokens());
}

TEST_F(GenerationVerbsTest, SeveralAnswersComeOneAfterTheOther) {
  EXPECT_EQ(Attn({"generate", "the cat", "--n", "2", "--max-tokens", "2"}), kExitOk);
  EXPECT_EQ(out_.str(), "answer 0: 2 tokens, length\n sat on\nanswer 1: 2 tokens, length\n sat on\n");
}

TEST_F(GenerationVerbsTest, JsonIsAnEventALine) {
  EXPECT_EQ(Attn({"generate", "the cat", "--json", "--show-attention", "--logprobs", "1", "--max-tokens", "2"}),
            kExitOk);
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 5U);
  EXPECT_EQ(lines[0]["event"], "start");
  EXPECT_EQ(lines[0]["prompt"][1]["text"],
            "\xC4\xA0"
            "cat");
  EXPECT_EQ(lines[1]["event"], "token");
  EXPECT_EQ(lines[1]["text"], " sat");
  EXPECT_EQ(lines[1]["logprob"], -0.25);
  EXPECT_EQ(lines[2]["attention"]["query"], 2);
  EXPECT_EQ(lines[2]["attention"]["weights"][0], nlohmann::json({0.25, 0.5, 0.25}));
  EXPECT_EQ(lines[3]["reason"], "length");
  EXPECT_EQ(lines[4]["generated_tokens"], 2);
}

TEST_F(GenerationVerbsTest, FlagsWithOptionalValuesLeaveTheTextAlone) {
  EXPECT_EQ(Attn({"generate", "--show-attention", "the cat"}), kExitOk);
  EXPECT_EQ(service_.last_request.text(), "the cat");
  EXPECT_EQ(service_.last_request.attention().select(), "");
  EXPECT_EQ(Attn({"generate", "--show-attention", "L1H0", "the cat"}), kExitOk);
  EXPECT_EQ(service_.last_request.attention().select(), "L1H0");
  EXPECT_EQ(Attn({"generate", "the cat", "--show-attention", "7-9:0-3"}), kExitOk);
  EXPECT_EQ(service_.last_request.attention().select(), "7-9:0-3");
  EXPECT_EQ(Attn({"generate", "--logprobs", "the cat"}), kExitOk);
  EXPECT_EQ(service_.last_request.text(), "the cat");
  EXPECT_TRUE(service_.last_request.options().has_logprobs());
  EXPECT_EQ(Attn({"generate", "the cat", "--logprobs", "many"}), kExitUsage);
}

TEST_F(GenerationVerbsTest, AttentionInAPipeIsALineAToken) {
  EXPECT_EQ(Attn({"generate", "the cat", "--show-attention", "--max-tokens", "2"}), kExitOk) << err_.str();
  EXPECT_EQ(out_.str(),
            "·sat           ← ·cat 0.25  (first 0.75)\n"
            "·on            ← ·cat 0.50  ·sat 0.25  (first 0.25)\n");
}

TEST_F(GenerationVerbsTest, AttentionOnATerminalIsDrawnInPlace) {
  terminal_ = true;
  EXPECT_EQ(Attn({"--color", "always", "generate", "the cat", "--show-attention", "--max-tokens", "2"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("\x1b[4F"));
  EXPECT_THAT(out_.str(), HasSubstr("mean of 2 tokens"));
  EXPECT_THAT(err_.str(), HasSubstr("2 tokens, length; first after"));
  EXPECT_EQ(Attn({"--color", "never", "generate", "the cat", "--show-attention"}), kExitOk);
  EXPECT_THAT(out_.str(), Not(HasSubstr("\x1b")));
}

TEST_F(GenerationVerbsTest, LogprobsFollowTheText) {
  EXPECT_EQ(Attn({"generate", "the cat", "--logprobs", "1", "--prompt-logprobs", "--max-tokens", "1"}), kExitOk);
  EXPECT_EQ(out_.str(),
            " sat\n\nprompt\n   #  token   logprob       p\n   0  ·cat     -1.000   0.368\n\n"
            "   #  token   logprob       p  most probable\n   0  ·sat     -0.250   0.779  ·lay 0.135\n");
}

TEST_F(GenerationVerbsTest, CtrlCCancelsTheCall) {
  bool cancelled = false;
  service_.before_token = [&](grpc::ServerContext* context, int i) {
    if (i < 2) return;
    while (!context->IsCancelled()) std::this_thread::yield();
    cancelled = true;
  };
  interrupt_at_ = " sat on";
  EXPECT_EQ(Attn({"generate", "the cat"}), kExitInterrupted);
  server_->Shutdown();
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(out_.str(), " sat on\n");
  EXPECT_EQ(err_.str(), "");
}

TEST_F(GenerationVerbsTest, ControlCharactersDoNotReachATerminal) {
  service_.words[0] = "\x1b[31mred\nline";
  terminal_ = true;
  EXPECT_EQ(Attn({"--color", "never", "generate", "the cat", "--max-tokens", "1"}), kExitOk);
  EXPECT_EQ(out_.str(), " [31mred\nline\n");
}

TEST_F(GenerationVerbsTest, RefusalsAndUsage) {
  EXPECT_EQ(Attn({"generate", "a", "--temperature", "-1"}), kExitFailed);
  EXPECT_THAT(err_.str(), HasSubstr("attn: INVALID_ARGUMENT: options.temperature: -1"));
  EXPECT_EQ(Attn({"generate", "a", "--logit-bias", "7"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--logit-bias takes ID=VALUE"));
  EXPECT_EQ(Attn({"generate", "a", "--n", "2", "--show-attention"}), kExitUsage);
  EXPECT_EQ(Attn({"generate", "a", "--regex", "a", "--json-schema", "{}"}), kExitUsage);
  in_terminal_ = true;
  EXPECT_EQ(Attn({"generate"}), kExitUsage);
  address_ = "127.0.0.1:1";
  EXPECT_EQ(Attn({"generate", "a"}), kExitUnreachable);
}

TEST_F(GenerationVerbsTest, ChatTemplateByFlag) {
  EXPECT_EQ(Attn({"generate", "--system", "be brief", "who?"}), kExitOk);
  ASSERT_EQ(service_.last_chat.messages_size(), 2);
  EXPECT_EQ(service_.last_chat.messages(0).role(), "system");
  EXPECT_EQ(service_.last_chat.messages(1).content(), "who?");
}

TEST_F(GenerationVerbsTest, ScoreIsATable) {
  EXPECT_EQ(Attn({"score", "the capital", " Paris", " the other one"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("   -2.500     -2.500       1     yes  ·Paris\n"));
  EXPECT_THAT(out_.str(), HasSubstr("   -5.500     -1.833       3      no  ·the other one\n"));
  EXPECT_EQ(Attn({"score", "the capital", "--json", "-"}, " Paris\n London\n"), kExitOk);
  const auto json = Lines()[0];
  EXPECT_EQ(json["continuations"][1]["text"], " London");
  EXPECT_EQ(json["continuations"][0]["tokens"][0]["logprob"], -2.5);
}

TEST(PromptPieces, ByTextTheyAreTheText) {
  const std::string text = "the c\xC3\xA4t  sat";
  google::protobuf::RepeatedPtrField<v1::Token> tokens;
  const auto add = [&](uint32_t begin, uint32_t end) {
    auto* token = tokens.Add();
    token->set_begin(begin);
    token->set_end(end);
  };
  add(0, 3);
  add(4, 6);  // "c" and half of "ä"
  add(6, 8);  // the other half, and "t"
  add(10, 13);
  EXPECT_THAT(PromptPieces(tokens, &text), ElementsAre("the", " c", "\xC3\xA4t", "  sat"));
}

TEST(PromptPieces, BySpelling) {
  const auto pieces = [](std::vector<std::string> spellings) {
    google::protobuf::RepeatedPtrField<v1::Token> tokens;
    for (const std::string& spelling : spellings) {
      tokens.Add()->set_text(spelling);
      tokens[tokens.size() - 1].set_special(spelling[0] == '<' && spelling[1] == '|');
    }
    return PromptPieces(tokens, nullptr);
  };
  // GPT-2's bytes: "Ġ" a space, "Ċ" a line break, "Ã" and "¤" those of "ä".
  EXPECT_THAT(pieces({"<|im_start|>", "user", "Ċ", "Ġc", "Ã", "¤", "t"}),
              ElementsAre("<|im_start|>", "user", "\n", " c", "", "\xC3\xA4", "t"));
  EXPECT_THAT(pieces({"▁the", "▁c", "<0xC3>", "<0xA4>", "t"}), ElementsAre(" the", " c", "", "\xC3\xA4", "t"));
  EXPECT_THAT(pieces({"the", "cat"}), ElementsAre("the", "cat"));
}

TEST(ContextLines, WrapBeforeWords) {
  EXPECT_THAT(ContextLines({{"the"}, {" cat"}, {" sat"}, {" on\nit"}}, 8, Colors::kNone),
              ElementsAre("the cat", "sat on", "it"));
  EXPECT_THAT(ContextLines({{"abcdefghij"}}, 4, Colors::kNone), ElementsAre("abcd", "efgh", "ij"));
}

}  // namespace
}  // namespace attnd
