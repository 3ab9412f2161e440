// The names of a decoder's tensors in each kind of checkpoint.
#ifndef ATTND_CORE_MODEL_DECODER_NAMES_H_
#define ATTND_CORE_MODEL_DECODER_NAMES_H_

#include <string>

namespace attnd {

// How a checkpoint names its tensors.
enum class CheckpointNames { kHuggingFace, kGguf };

// Names without ".weight"; "#" stands for the layer. An empty one: the family has no such tensor.
struct DecoderNames {
  const char* embedding;
  const char* positions;
  const char* final_norm;
  const char* head;
  const char* attention_norm;
  const char* query;
  const char* key;
  const char* value;
  const char* joined;  // query, key and value in one
  const char* query_norm;
  const char* key_norm;
  const char* output;
  const char* post_attention_norm;
  const char* feed_forward_norm;
  const char* gate;
  const char* up;
  const char* gate_up;  // both in one
  const char* down;
  const char* post_feed_forward_norm;
};

const DecoderNames& DecoderNamesOf(const std::string& model_type, CheckpointNames names);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_DECODER_NAMES_H_
