// ModelConfig: what config.json and the sentence-transformers files of a Hugging Face folder say.
#ifndef ATTND_CORE_MODEL_CONFIG_H_
#define ATTND_CORE_MODEL_CONFIG_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model/task.h"
#include "core/ops/activation.h"
#include "core/ops/pooling.h"
#include "core/ops/precision.h"

namespace attnd {

// A Dense module after the pooling.
struct DenseConfig {
  std::string path;  // of its folder, inside the model's
  int inputs = 0;
  int outputs = 0;
  bool bias = true;
  Activation activation = Activation::kTanh;
};

struct PoolingConfig {
  PoolingMode mode = PoolingMode::kMean;
  bool last_token = false;  // of decoders: the last token's row, whatever `mode` says
  bool normalize = false;   // divide by the L2 norm (a Normalize module)
};

// What only ModernBERT has.
struct ModernBertOptions {
  bool attention_bias = false;
  bool mlp_bias = false;
  bool norm_bias = false;
  bool classifier_bias = false;
  bool decoder_bias = true;
  Activation classifier_activation = Activation::kGelu;
  PoolingMode classifier_pooling = PoolingMode::kCls;  // or kMean
  double global_theta = 160000;                        // of RoPE
  double local_theta = 10000;
  int window = 0;                  // of local layers: neighbours on each side
  std::vector<bool> local_layers;  // [layers]
};

// How texts become embeddings: what sentence-transformers and the tokenizer say of them.
struct EmbeddingConfig {
  int max_tokens = 0;              // most of a text: max_seq_length or model_max_length, at most the positions
  PoolingConfig pooling;           // encoders: mean without normalising where the folder has no modules.json
  std::vector<DenseConfig> dense;  // in their order
  int embedding_size = 0;          // numbers of an embedding: hidden_size, or the last dense module's outputs
  bool lower_case = false;         // do_lower_case: a tokenizer that does not lower-case is refused at load
  // What a text may begin with, by name ("query": "search_query: "); and the name that is used where none is asked for,
  // "" for none.
  std::map<std::string, std::string> prompts;
  std::string default_prompt_name;
};

// Of an encoder.
struct ModelConfig : EmbeddingConfig {
  std::string model_type;                  // "bert"
  std::vector<std::string> architectures;  // {"BertModel"}

  Precision precision = Precision::kF32;  // of the layers' linears; Model::Load sets it

  Task task = Task::kEmbed;         // of `architectures`; kEmbed where modules.json pools
  std::vector<std::string> labels;  // kClassify, kTokenClassify: by id. One label of kClassify: a reranker
  // kClassify. Where config.json says nothing: kSingleLabel; of one label kMultiLabel, as CrossEncoder does.
  ProblemType problem_type = ProblemType::kSingleLabel;

  int hidden_size = 0;
  int layers = 0;
  int heads = 0;
  int intermediate_size = 0;
  int vocab_size = 0;
  int type_vocab_size = 0;  // at most 1: type ids are accepted and mean nothing
  int max_positions = 0;    // rows of the position table
  int word_size = 0;        // numbers of a word's vector: hidden_size, less where the table is factorised
  int padding_id = -1;      // at least 0: positions begin at padding_id + 1, as in RoBERTa
  int layer_groups = 0;     // ALBERT: layers that have weights of their own
  ModernBertOptions modernbert;
  float layer_norm_eps = 1e-12f;
  Activation activation = Activation::kGelu;

  int head_dim() const { return hidden_size / heads; }
  // Numbers in one row of the head's output, 0 without a head.
  int logit_columns() const {
    if (task == Task::kClassify || task == Task::kTokenClassify) return static_cast<int>(labels.size());
    return task == Task::kFillMask || task == Task::kGenerate ? vocab_size : 0;
  }
};

// Reads config.json; modules.json and the files of its modules, sentence_*_config.json,
// config_sentence_transformers.json and tokenizer_config.json where they are. A model_type that has no entry in
// families.cc gives its name and architectures only, all sizes 0: MakeEncoder refuses it. kNotFound / kInvalidArgument
// name the file, the key and the fault; sizes are bounded so that no later product overflows.
absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& folder);

// How a decoder embeds where nobody says how: the last token's row, as it is, of texts up to the whole context.
EmbeddingConfig DefaultDecoderEmbedding(int hidden_size, int max_tokens);
// The same as the folder's modules.json and the files beside it say, where there is one. Errors as above; pooling is
// lasttoken or mean.
absl::StatusOr<EmbeddingConfig> LoadDecoderEmbedding(const std::string& folder, int hidden_size, int max_tokens);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_CONFIG_H_
