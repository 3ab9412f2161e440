// Tasks, labels and families out of config.json; what sentence-transformers adds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/model/config.h"
#include "tests/core/model/config_testing.h"
#include "tests/golden/encoders.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TaskConfigTest : public ConfigTest {
 protected:
  // config.json with `keys` put over it.
  void WriteConfig(const std::string& keys) {
    nlohmann::json json = nlohmann::json::parse(kConfig);
    json.merge_patch(nlohmann::json::parse(keys));
    Write("config.json", json.dump());
  }
  ModelConfig Load(const std::string& keys) {
    WriteConfig(keys);
    auto config = LoadModelConfig(folder_);
    if (!config.ok()) throw std::runtime_error(config.status().ToString());
    return *std::move(config);
  }
  std::string FaultOf(const std::string& keys) {
    WriteConfig(keys);
    return Fault();
  }
};

TEST_F(TaskConfigTest, ArchitecturesSayTheTask) {
  EXPECT_EQ(Load(R"({"architectures": ["BertModel"]})").task, Task::kEmbed);
  EXPECT_EQ(Load(R"({"architectures": []})").task, Task::kEmbed);
  EXPECT_EQ(Load(R"({"architectures": ["BertForSequenceClassification"]})").task, Task::kClassify);
  EXPECT_EQ(Load(R"({"architectures": ["BertForTokenClassification"]})").task, Task::kTokenClassify);
  EXPECT_EQ(Load(R"({"architectures": ["BertForMaskedLM"]})").task, Task::kFillMask);
  EXPECT_EQ(Load(R"({"architectures": ["BertForQuestionAnswering"]})").task, Task::kEmbed);
}

TEST_F(TaskConfigTest, AFolderThatPoolsEmbeds) {
  WriteSentenceTransformer();
  const ModelConfig config = Load(R"({"architectures": ["BertForSequenceClassification"]})");
  EXPECT_EQ(config.task, Task::kEmbed);
  EXPECT_THAT(config.labels, IsEmpty());
  EXPECT_EQ(config.logit_columns(), 0);
}

TEST_F(TaskConfigTest, LabelsAreInTheOrderOfTheirIds) {
  const std::string classify = R"("architectures": ["BertForSequenceClassification"])";
  EXPECT_THAT(Load("{" + classify + R"(, "id2label": {"10": "k", "2": "c", "1": "b", "0": "a", "3": "d", "4": "e",
                       "5": "f", "6": "g", "7": "h", "8": "i", "9": "j"}})")
                  .labels,
              ElementsAre("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"));
  EXPECT_THAT(Load("{" + classify + "}").labels, ElementsAre("LABEL_0", "LABEL_1"));
  EXPECT_THAT(Load("{" + classify + R"(, "num_labels": 3})").labels, ElementsAre("LABEL_0", "LABEL_1", "LABEL_2"));
  EXPECT_EQ(FaultOf("{" + classify + R"(, "id2label": {"0": "a", "2": "b"}})"),
            "config.json: id2label has 2 labels, but none of id 1");
  EXPECT_EQ(FaultOf("{" + classify + R"(, "id2label": {"0": 1}})"),
            "config.json: id2label must hold strings of at most 256 bytes, holds 1 for 0");
  EXPECT_EQ(FaultOf("{" + classify + R"(, "id2label": []})"),
            "config.json: id2label must be an object of 1 to 4096 labels");
}

TEST_F(TaskConfigTest, ProblemTypes) {
  const auto of = [&](const std::string& keys) {
    return Load(R"({"architectures": ["BertForSequenceClassification"])" + keys + "}").problem_type;
  };
  EXPECT_EQ(of(""), ProblemType::kSingleLabel);
  EXPECT_EQ(of(R"(, "num_labels": 1)"), ProblemType::kMultiLabel);
  EXPECT_EQ(of(R"(, "problem_type": "single_label_classification")"), ProblemType::kSingleLabel);
  EXPECT_EQ(of(R"(, "problem_type": "multi_label_classification")"), ProblemType::kMultiLabel);
  EXPECT_EQ(of(R"(, "problem_type": "regression", "num_labels": 1)"), ProblemType::kRegression);
  // What CrossEncoder saves.
  EXPECT_EQ(of(R"(, "num_labels": 1, "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"})"),
            ProblemType::kRegression);
  EXPECT_EQ(of(R"(, "sbert_ce_default_activation_function": "torch.nn.modules.activation.Sigmoid")"),
            ProblemType::kMultiLabel);
  Write("config_sentence_transformers.json", R"({"activation_fn": "torch.nn.modules.linear.Identity"})");
  EXPECT_EQ(of(R"(, "num_labels": 1)"), ProblemType::kRegression);
  EXPECT_EQ(of(""), ProblemType::kSingleLabel);  // softmax is the caller's there
  EXPECT_EQ(FaultOf(R"({"architectures": ["BertForSequenceClassification"], "problem_type": "x"})"),
            "config.json: problem_type must be single_label_classification, multi_label_classification or regression, "
            "is \"x\"");
}

TEST_F(TaskConfigTest, PositionsThatBeginLaterLeaveFewerTokens) {
  EXPECT_EQ(Load(R"({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1})").max_tokens, 512);
  EXPECT_EQ(Load(R"({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 0})").max_tokens, 512);
  EXPECT_EQ(FaultOf(R"({"model_type": "roberta", "max_position_embeddings": 2})"),
            "config.json: max_position_embeddings is 2, and positions begin at 2");
  EXPECT_EQ(FaultOf(R"({"model_type": "mpnet", "relative_attention_num_buckets": 64})"),
            "config.json: relative_attention_num_buckets must be an integer from 32 to 32, is 64");
}

TEST_F(TaskConfigTest, DistilBertHasNamesOfItsOwn) {
  Write("config.json", R"({"model_type": "distilbert", "dim": 64, "n_layers": 3, "n_heads": 4, "hidden_dim": 96,
                           "activation": "relu", "vocab_size": 100, "max_position_embeddings": 128})");
  const auto config = LoadModelConfig(folder_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->hidden_size, 64);
  EXPECT_EQ(config->layers, 3);
  EXPECT_EQ(config->heads, 4);
  EXPECT_EQ(config->intermediate_size, 96);
  EXPECT_EQ(config->activation, Activation::kRelu);
  EXPECT_EQ(config->type_vocab_size, 0);
}

TEST_F(TaskConfigTest, AlbertShares) {
  const std::string albert = R"({"model_type": "albert", "embedding_size": 128, "num_hidden_groups": 2)";
  const ModelConfig config = Load(albert + "}");
  EXPECT_EQ(config.word_size, 128);
  EXPECT_EQ(config.layer_groups, 2);
  EXPECT_EQ(FaultOf(albert + R"(, "inner_group_num": 2})"),
            "config.json: inner_group_num must be an integer from 1 to 1, is 2");
  EXPECT_EQ(FaultOf(albert + R"(, "num_hidden_layers": 1})"),
            "config.json: num_hidden_groups must be an integer from 1 to 1, is 2");
}

// As transformers 4 wrote it, and as 5 does.
TEST_F(TaskConfigTest, ModernBertInBothSpellings) {
  const std::string sizes = R"({"model_type": "modernbert", "num_hidden_layers": 4, "local_attention": 128, )";
  const ModelConfig old =
      Load(sizes + R"("global_attn_every_n_layers": 2, "global_rope_theta": 80000.0, "local_rope_theta": 5000.0})");
  const ModelConfig now = Load(sizes + R"("layer_types": ["full_attention", "sliding_attention", "full_attention",
      "sliding_attention"], "rope_parameters": {"full_attention": {"rope_theta": 80000.0, "rope_type": "default"},
      "sliding_attention": {"rope_theta": 5000.0, "rope_type": "default"}}})");
  for (const ModelConfig& config : {old, now}) {
    EXPECT_THAT(config.modernbert.local_layers, ElementsAre(false, true, false, true));
    EXPECT_EQ(config.modernbert.window, 64);
    EXPECT_EQ(config.modernbert.global_theta, 80000);
    EXPECT_EQ(config.modernbert.local_theta, 5000);
    EXPECT_FLOAT_EQ(config.layer_norm_eps, 1e-5f);
  }
  EXPECT_EQ(FaultOf(sizes + R"("layer_types": ["full_attention"]})"),
            "config.json: layer_types must be a list of 4 layers");
  EXPECT_EQ(FaultOf(sizes + R"("rope_parameters": {"full_attention": {"rope_type": "yarn"}}})"),
            "config.json: rope_parameters.full_attention: rope_type must be default, is \"yarn\"");
  EXPECT_EQ(FaultOf(sizes + R"("classifier_pooling": "max"})"),
            "config.json: classifier_pooling must be cls or mean, is \"max\"");
}

TEST_F(TaskConfigTest, DenseModulesChangeTheEmbeddingsSize) {
  WriteSentenceTransformer();
  Write("modules.json", R"([{"type": "sentence_transformers.models.Transformer", "path": ""},
    {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
    {"type": "sentence_transformers.models.Dense", "path": "2_Dense"},
    {"type": "sentence_transformers.models.Normalize", "path": "3_Normalize"}])");
  Write("2_Dense/config.json", R"({"in_features": 384, "out_features": 512, "bias": false,
    "activation_function": "torch.nn.modules.linear.Identity"})");
  const auto config = LoadModelConfig(folder_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->embedding_size, 512);
  ASSERT_EQ(config->dense.size(), 1u);
  EXPECT_EQ(config->dense[0].path, "2_Dense");
  EXPECT_EQ(config->dense[0].activation, Activation::kNone);
  EXPECT_FALSE(config->dense[0].bias);
  EXPECT_TRUE(config->pooling.normalize);
  Write("2_Dense/config.json", R"({"in_features": 256, "out_features": 512})");
  EXPECT_EQ(Fault(), "2_Dense/config.json: in_features is 256, the embedding before it has 384 numbers");
  Write("2_Dense/config.json",
        R"({"in_features": 384, "out_features": 512, "activation_function": "torch.x.Softmax"})");
  EXPECT_THAT(Fault(), HasSubstr("activation_function must be torch's Identity, Tanh, ReLU, GELU or SiLU, is"));
  Write("2_Dense/config.json", R"({"in_features": 384, "out_features": 512, "module_input_name": "token_embeddings"})");
  EXPECT_THAT(Fault(), HasSubstr("module_input_name must be sentence_embedding, is \"token_embeddings\""));
}

TEST_F(TaskConfigTest, PromptsAndLengths) {
  WriteSentenceTransformer();
  Write("config_sentence_transformers.json",
        R"({"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": "query"})");
  auto config = LoadModelConfig(folder_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->prompts, ElementsAre(std::pair("passage", "passage: "), std::pair("query", "query: ")));
  EXPECT_EQ(config->default_prompt_name, "query");
  EXPECT_EQ(config->max_tokens, 256);
  // The tokenizer's length counts where sentence-transformers says none.
  Write("tokenizer_config.json", R"({"model_max_length": 128})");
  EXPECT_EQ(LoadModelConfig(folder_).value().max_tokens, 256);
  Write("sentence_bert_config.json", R"({"max_seq_length": null, "do_lower_case": true})");
  EXPECT_EQ(LoadModelConfig(folder_).value().max_tokens, 128);
  EXPECT_TRUE(LoadModelConfig(folder_).value().lower_case);
  Write("tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656})");
  EXPECT_EQ(LoadModelConfig(folder_).value().max_tokens, 512);
}

TEST_F(TaskConfigTest, EveryGoldenEncoderIsKnown) {
  for (const char* name : golden::kEncoders) {
    const auto config = LoadModelConfig(std::string(ATTND_SOURCE_DIR "/tests/golden/") + name);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_GT(config->hidden_size, 0) << name;
    EXPECT_EQ(config->embedding_size, config->hidden_size);
  }
}

}  // namespace
}  // namespace attnd
