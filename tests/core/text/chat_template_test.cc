#include "core/text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<ChatTemplate> Parse(std::string_view source) {
  auto parsed = ChatTemplate::Parse(source, "<s>", "</s>");
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  return parsed.ok() ? *std::move(parsed) : nullptr;
}

std::string Fault(std::string_view source, std::vector<ChatMessage> messages = {{"user", "SECRET"}}) {
  auto parsed = ChatTemplate::Parse(source, "", "");
  if (!parsed.ok()) return std::string(parsed.status().message());
  auto text = (*parsed)->Render(messages, false);
  EXPECT_FALSE(text.ok()) << *text;
  EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(text.status().message());
}

TEST(ChatTemplateTest, RendersAsTransformers) {
  nlohmann::json cases;
  std::ifstream(ATTND_SOURCE_DIR "/tests/golden/chat.json") >> cases;
  ASSERT_EQ(cases.size(), 48u);
  for (const auto& test : cases) {
    SCOPED_TRACE(absl::StrCat(test["name"].get<std::string>(), " ", test["messages"].dump()));
    const auto parsed = Parse(test["template"].get<std::string>());
    ASSERT_NE(parsed, nullptr);
    std::vector<ChatMessage> messages;
    for (const auto& message : test["messages"]) messages.push_back({message[0], message[1]});
    auto text = parsed->Render(messages, test["add_generation_prompt"]);
    if (test.contains("text")) {
      ASSERT_TRUE(text.ok()) << text.status();
      EXPECT_EQ(*text, test["text"].get<std::string>());
    } else {
      EXPECT_EQ(text.status().message(),
                absl::StrCat("the chat template refuses this conversation: ", test["error"].get<std::string>()));
    }
  }
}

TEST(ChatTemplateTest, FaultsNameTheLineAndNoneOfTheMessages) {
  EXPECT_THAT(Fault("a\n{% if %}"), HasSubstr("the chat template is not valid: line 2: "));
  EXPECT_THAT(Fault("\n\n{{ messages[0].content + 1 }}"), HasSubstr("the chat template failed at its line 3: "));
  EXPECT_THAT(Fault("{{ nothing.at.all }}"), HasSubstr("undefined"));
  for (const char* source :
       {"{{ messages[0].content + 1 }}", "{{ messages[0].content.no() }}", "{{ messages[0].content | int }}",
        "{{ messages[0].content | tojson(indent=messages) }}"}) {
    EXPECT_THAT(Fault(source), ::testing::Not(HasSubstr("SECRET")));
  }
  EXPECT_THAT(Fault("{{ messages[0].content }}", {{"user", "\xff"}}), HasSubstr("not valid UTF-8"));
}

TEST(ChatTemplateTest, TheTimeIsLocal) {
  const auto render = [](const std::string& source) { return Parse(source)->Render({}, false).value(); };
  const auto now = [] {
    const std::time_t time = std::time(nullptr);
    std::tm local{};
    localtime_r(&time, &local);
    char text[64];
    return std::string(text, std::strftime(text, sizeof(text), "%d %b %Y, %H:%M", &local));
  };
  const std::string before = now();
  const std::string text =
      render("{% if strftime_now is defined %}{{ strftime_now('%d %b %Y, %H:%M') }}{% else %}26 Jul 2024{% endif %}");
  EXPECT_TRUE(text == before || text == now()) << text;
  EXPECT_EQ(render("<{{ strftime_now('') }}>"), "<>");
  EXPECT_EQ(render("{{ strftime_now('żó%%') }}"), "żó%");
  EXPECT_THAT(Fault("{{ strftime_now('%9999d') }}"), HasSubstr("the chat template failed at its line 1"));
  EXPECT_THAT(Fault("{{ strftime_now('a\\u0000b') }}"), HasSubstr("the chat template failed"));
  EXPECT_THAT(Fault("{{ strftime_now() }}"), HasSubstr("the chat template failed"));
}

TEST(ChatTemplateTest, HostileTemplatesEnd) {
  EXPECT_THAT(Fault("{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}"),
              HasSubstr("the chat template failed"));
  EXPECT_THAT(Fault("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), HasSubstr("the chat template failed"));
  EXPECT_THAT(Fault(std::string(2 << 20, 'x')), HasSubstr("the limit is 1048576"));
}

TEST(ChatTemplateTest, LoadsFromAFolder) {
  const auto folder = std::filesystem::temp_directory_path() / absl::StrCat("attnd-chat-", getpid());
  std::filesystem::create_directories(folder);
  const auto render = [&]() -> std::string {
    auto loaded = ChatTemplate::Load(folder.string());
    if (!loaded.ok()) return std::string(loaded.status().message());
    if (*loaded == nullptr) return "none";
    const ChatMessage message = {"user", "x"};
    return (*loaded)->Render({&message, 1}, true).value();
  };
  EXPECT_EQ(render(), "none");
  std::ofstream(folder / "tokenizer_config.json") << R"({"bos_token":{"content":"<b>"},"eos_token":"<e>"})";
  EXPECT_EQ(render(), "none");
  std::ofstream(folder / "tokenizer_config.json")
      << R"({"bos_token":{"content":"<b>"},"eos_token":"<e>","chat_template":"{{ bos_token }}{{ eos_token }}"})";
  EXPECT_EQ(render(), "<b><e>");
  std::ofstream(folder / "tokenizer_config.json")
      << R"({"chat_template":[{"name":"tool_use","template":"t"},{"name":"default","template":"d"}]})";
  EXPECT_EQ(render(), "d");
  std::ofstream(folder / "chat_template.jinja") << "own {{ messages[0].role }}";
  EXPECT_EQ(render(), "own user");
  std::ofstream(folder / "chat_template.jinja") << "{% if %}";
  EXPECT_THAT(render(), HasSubstr("chat_template.jinja: the chat template is not valid"));
  std::ofstream(folder / "tokenizer_config.json") << "[";
  EXPECT_THAT(render(), HasSubstr("tokenizer_config.json: not a JSON object"));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace attnd
