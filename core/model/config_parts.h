// The parts of LoadModelConfig, one file each.
#ifndef ATTND_CORE_MODEL_CONFIG_PARTS_H_
#define ATTND_CORE_MODEL_CONFIG_PARTS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model/config.h"
#include "core/model/json_file.h"

namespace attnd {

// Bounds of sizes. Products of two of these, times 8 bytes, fit into 63 bits.
inline constexpr int kHiddenMax = 16384;
inline constexpr int kLayersMax = 1024;
inline constexpr int kIntermediateMax = 1 << 18;
inline constexpr int kVocabularyMax = 1 << 22;
inline constexpr int kPositionsMax = 1 << 20;
inline constexpr int kTypesMax = 1024;
inline constexpr int kLabelsMax = 4096;

// The sizes and options of config.model_type out of config.json, max_tokens among them. A type that is not known is
// left as it is: false.
absl::StatusOr<bool> ReadFamily(const JsonObject& file, ModelConfig& config);

// The activation that `key` names.
absl::Status ReadActivation(const JsonObject& file, const std::string& key, const std::string& otherwise,
                            Activation& to);

// task, labels and problem_type out of config.json, once `architectures` is read.
absl::Status ReadTask(const JsonObject& file, ModelConfig& config);

// The activation that a CrossEncoder saved for its scores, a Python class: changes problem_type where it says more than
// the number of labels does.
void UseCrossEncoderActivation(const std::string& name, ModelConfig& config);

// What may be asked for depends on whose modules they are.
enum class ModulesOf { kEncoder, kDecoder };

// modules.json and what it names: pooling, dense, embedding_size, which is `hidden_size` before. True where
// modules.json pools. Where there is none a decoder's `config` stays as it is; an encoder's takes a 1_Pooling all the
// same.
absl::StatusOr<bool> ReadModules(const std::string& folder, int hidden_size, ModulesOf of, EmbeddingConfig& config);

// What sentence-transformers and the tokenizer say of texts: max_tokens (at most what it is before), lower_case,
// prompts.
absl::Status ReadTextRules(const std::string& folder, EmbeddingConfig& config);
// What sentence-transformers says of the scores of a kClassify: problem_type.
absl::Status ReadScoreRules(const std::string& folder, ModelConfig& config);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_CONFIG_PARTS_H_
